"""A receiver is called by position: its parameters may have any name."""

import gc

import pytest
from helpers import batches, trainer_of

from trackside.events import ReceiverError, after_loss, any_transition


class Odd:
    """A handler with other names for its parameters."""

    def __init__(self):
        self.found = []

    def after_loss(self, t, s):
        self.found.append((t, s))

    def any_transition(self, t, s, row):
        self.found.append(row.trigger)

    def within_batch(self, t, s):
        self.found.append("open")
        yield


class OddAndDetached(Odd):
    on_error = "detach"


@pytest.mark.parametrize("kind", [Odd, OddAndDetached])
def test_the_parameters_of_a_handler_may_have_any_name(kind):
    handler = kind()
    trainer = trainer_of(handler)
    trainer.fit(batches(1))
    assert (trainer, trainer.state) in handler.found
    assert {"begin_fit", "after_fit", "open"} <= {x for x in handler.found if isinstance(x, str)}


@pytest.mark.parametrize(
    "options", [{}, {"every": 2}, {"once": True}, {"when": lambda t, s: True}, {"inside": "train"}]
)
def test_the_parameters_of_a_function_may_have_any_name(options):
    trainer, found = trainer_of(), []
    trainer.on("after_loss", **options)(lambda t, s: found.append(s))
    trainer.on("any_transition", **options)(lambda a, b, c: found.append(c.trigger))
    trainer.on("after_loss", **options)(lambda sender, **named: found.append(named["state"]))
    trainer.fit(batches(2))
    assert found.count(trainer.state) >= 2
    assert any(isinstance(each, str) for each in found)


def test_a_weak_receiver_may_have_any_names():
    handler, trainer, found = Odd(), trainer_of(), []

    def by_name(sender, **named):
        found.append(named["state"])

    after_loss.connect(handler.after_loss, sender=trainer, weak=True)
    after_loss.connect(by_name, sender=trainer, weak=True)
    trainer.fit(batches(1))
    assert handler.found == [(trainer, trainer.state)]
    assert found == [trainer.state]
    del handler, by_name
    gc.collect()
    trainer.fit(batches(1))


def test_a_signal_that_a_host_sends_reaches_receivers_with_any_names():
    trainer, found = trainer_of(), []
    trainer.on("after_loss")(lambda t, s: found.append((t, s)))
    trainer.on("after_loss")(lambda sender, *, state: found.append((sender, state)))
    after_loss.send(trainer, state=trainer.state)
    trainer.on("any_transition")(lambda t, s, row: found.append(row))
    any_transition.send(trainer, state=trainer.state, transition="a row")
    assert found == [(trainer, trainer.state)] * 2 + ["a row"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda t: None, r"<lambda>\(t\) to after_loss: too many positional arguments"),
        (lambda t, s, more: None, r"<lambda>\(t, s, more\) to after_loss: missing a required"),
        (lambda t, *, s: None, r"<lambda>\(t, \*, s\) to after_loss: too many positional"),
    ],
)
def test_the_error_for_a_wrong_number_shows_the_signature(wrong, why):
    with pytest.raises(ReceiverError, match=why + r".*expected def f\(trainer, state\), with any"):
        trainer_of().on("after_loss")(wrong)


def test_a_scope_handler_without_a_yield_is_refused_when_it_is_attached():
    class NoYield:
        def within_batch(self, trainer, state):
            return iter(())

    with pytest.raises(ReceiverError, match=r"NoYield\.within_batch with the scope batch: it has"):
        trainer_of(NoYield())
    with pytest.raises(ReceiverError, match="it has no yield; a scope handler yields once"):
        trainer_of().within("fit")(lambda trainer, state: None)

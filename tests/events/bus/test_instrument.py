import pytest
from helpers import CANCELS, Trace, batches, raise_at, trainer_of

from trackside.events import after_loss
from trackside.events.bus import lock


class Around:
    """Records each receiver that is called, and its signal, in order."""

    def __init__(self):
        self.called = []

    def __call__(self, receiver, transition):
        def call(trainer, state):
            self.called.append((receiver, transition.trigger))
            receiver(trainer, state)

        call.__wrapped__ = receiver
        return call


def test_an_instrument_wraps_each_receiver_of_its_trainer_in_their_order():
    trainer, other, around = trainer_of(), trainer_of(), Around()
    first = trainer.on("after_loss")(lambda trainer, state: None)
    other.on("after_loss")(lambda trainer, state: None)
    trainer.instrument(around)
    second = trainer.on("after_loss")(lambda trainer, state: None)
    other.fit(batches(1))
    assert around.called == []
    trainer.fit(batches(1))
    assert around.called == [(first, "after_loss"), (second, "after_loss")]


def test_an_instrument_wraps_receivers_of_all_trainers_and_all_transitions():
    trainer, around = trainer_of(Trace()), Around()
    trainer.instrument(around)

    def of_all_senders(trainer, state):
        pass

    with after_loss.connected_to(of_all_senders):
        trainer.fit(batches(1))
    triggers = [trigger for _, trigger in around.called]
    assert triggers[:3] == ["begin_fit", "begin_epoch", "begin_train"]
    assert (of_all_senders, "after_loss") in around.called


def test_an_instrument_can_be_added_and_removed_during_a_run():
    trainer, around = trainer_of(), Around()
    receiver = trainer.on("after_batch")(lambda trainer, state: None)
    undo = []
    trainer.on("after_loss", when=lambda _, state: state.batch_index == 1)(
        lambda trainer, state: undo.append(trainer.instrument(around))
    )
    trainer.on("after_loss", when=lambda _, state: state.batch_index == 3)(
        lambda trainer, state: undo.pop()()
    )
    trainer.fit(batches(5))
    batch = [called for called, trigger in around.called if trigger == "after_batch"]
    assert batch == [receiver, receiver]
    assert trainer.instruments == ()


def test_a_receiver_that_raises_inside_an_instrument_is_named():
    trainer = trainer_of()
    trainer.instrument(Around())
    raise_at(trainer, "after_loss", CANCELS["fit"])
    trainer.fit(batches(2))
    assert trainer.state.cancel.raised_by == "handler raiser"


def test_the_newest_of_two_instruments_is_outermost():
    trainer, inner, outer = trainer_of(), Around(), Around()
    receiver = trainer.on("after_loss")(lambda trainer, state: None)
    trainer.instrument(inner)
    trainer.instrument(outer)
    trainer.fit(batches(1))
    assert inner.called == [(receiver, "after_loss")]
    assert [call.__wrapped__ for call, _ in outer.called] == [receiver]


def test_without_the_lock_of_the_bus_no_instrument_is_added(monkeypatch):
    class Refusing:
        def __enter__(self):
            raise InterruptedError

        def __exit__(self, *error):
            """Never entered."""

    trainer = trainer_of()
    with monkeypatch.context() as patch:
        patch.setattr(lock, "BUS_LOCK", Refusing())
        with pytest.raises(InterruptedError):
            trainer.instrument(Around())
    assert trainer.instruments == ()

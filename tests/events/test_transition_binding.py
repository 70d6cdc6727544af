import logging

import pytest
from helpers import batches, trainer_of

from trackside.events import Transition, any_transition

TRANSITION = Transition("after_pred", "a.forward", "a.loss")


class Prepares:
    """Prepares a receiver for each transition; records the transitions, and the calls."""

    def __init__(self):
        self.prepared, self.triggers = [], []

    def any_transition(self, trainer, state, transition):
        raise AssertionError("for_transition is called instead")

    def for_transition(self, transition):
        self.prepared.append(transition)
        return lambda trainer, state: self.triggers.append(transition.trigger)


class Fails(Prepares):
    on_error = "detach"

    def for_transition(self, transition):
        def receiver(trainer, state):
            self.triggers.append(transition.trigger)
            raise ValueError("wrong value")

        return receiver


class CannotFail(Fails):
    def for_transition(self, transition):
        receiver = super().for_transition(transition)
        receiver.cannot_fail = True
        return receiver


def test_a_handler_prepares_a_receiver_for_each_transition():
    handler, trace = Prepares(), []
    trainer = trainer_of(handler)
    trainer.on("any_transition")(lambda trainer, state, transition: trace.append(transition))
    trainer.fit(batches(2))
    assert handler.triggers == [transition.trigger for transition in trace]
    assert {*trace} < {*handler.prepared}


class Steps(Prepares):
    def for_transition(self, transition):
        return super().for_transition(transition) if transition.trigger == "after_step" else None


class DetachingSteps(Steps):
    on_error = "detach"


@pytest.mark.parametrize("handler", [Steps(), DetachingSteps()])
def test_nothing_is_called_where_for_transition_returns_none(handler):
    trainer_of(handler).fit(batches(2))
    assert handler.triggers == ["after_step"] * 2


def test_a_callable_object_prepares_a_receiver_for_each_transition():
    class Receiver(Prepares):
        def __call__(self, trainer, state, transition):
            raise AssertionError("for_transition is called instead")

    receiver, trainer = Receiver(), trainer_of()
    any_transition.connect(receiver, sender=trainer)
    trainer.fit(batches(1))
    assert receiver.triggers[0] == "begin_fit"


def test_on_error_detach_applies_to_prepared_receivers(caplog):
    handler = Fails()
    trainer = trainer_of(handler)
    with caplog.at_level(logging.ERROR, logger="trackside"):
        trainer.fit(batches(2))
    assert handler.triggers == ["begin_fit"]
    assert handler not in trainer.handlers
    assert "it is detached and the run continues" in caplog.text


def test_a_receiver_with_cannot_fail_is_not_wrapped():
    with pytest.raises(ValueError, match="wrong value"):
        trainer_of(CannotFail()).fit(batches(1))

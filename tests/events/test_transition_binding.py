import logging

import pytest
from helpers import batches, trainer_of

from trackside.events import Transition, any_transition

TRANSITION = Transition("after_pred", "a.forward", "a.loss")


class Prepares:
    """Prepares a receiver for each transition; keeps what it was asked for, and what it heard."""

    def __init__(self):
        self.asked, self.heard = [], []

    def any_transition(self, trainer, state, transition):
        raise AssertionError("it is asked for what to call instead")

    def for_transition(self, transition):
        self.asked.append(transition)
        return lambda trainer, state: self.heard.append(transition.trigger)


class Fails(Prepares):
    on_error = "detach"

    def for_transition(self, transition):
        def receiver(trainer, state):
            self.heard.append(transition.trigger)
            raise ValueError("of no use")

        return receiver


class CannotFail(Fails):
    def for_transition(self, transition):
        receiver = super().for_transition(transition)
        receiver.cannot_fail = True
        return receiver


def test_a_handler_may_prepare_what_is_called_for_each_transition():
    handler, trace = Prepares(), []
    trainer = trainer_of(handler)
    trainer.on("any_transition")(lambda trainer, state, transition: trace.append(transition))
    trainer.fit(batches(2))
    assert handler.heard == [transition.trigger for transition in trace]
    assert {*trace} < {*handler.asked}


class Steps(Prepares):
    def for_transition(self, transition):
        return super().for_transition(transition) if transition.trigger == "after_step" else None


class GuardedSteps(Steps):
    on_error = "detach"


@pytest.mark.parametrize("handler", [Steps(), GuardedSteps()])
def test_of_what_it_does_not_want_to_hear_it_gives_nothing(handler):
    trainer_of(handler).fit(batches(2))
    assert handler.heard == ["after_step"] * 2


def test_a_receiver_that_is_an_object_may_prepare_too():
    class Receiver(Prepares):
        def __call__(self, trainer, state, transition):
            raise AssertionError("it is asked for what to call instead")

    receiver, trainer = Receiver(), trainer_of()
    any_transition.connect(receiver, sender=trainer)
    trainer.fit(batches(1))
    assert receiver.heard[0] == "begin_fit"


def test_what_a_handler_prepares_is_guarded_like_the_handler(caplog):
    handler = Fails()
    trainer = trainer_of(handler)
    with caplog.at_level(logging.ERROR, logger="trackside"):
        trainer.fit(batches(2))
    assert handler.heard == ["begin_fit"]
    assert handler not in trainer.handlers
    assert "it is detached and the run continues" in caplog.text


def test_what_says_that_it_cannot_fail_is_not_guarded():
    with pytest.raises(ValueError, match="of no use"):
        trainer_of(CannotFail()).fit(batches(1))

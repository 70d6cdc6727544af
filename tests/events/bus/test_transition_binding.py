import contextlib
import logging

import pytest
from helpers import batches, trainer_of

from trackside.events import CancelFitException, IllegalCancelError, Transition, any_transition

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


class Unprepared(Prepares):
    """Cannot prepare itself once `broken` is set."""

    def __init__(self, error=None, broken=False):
        super().__init__()
        self.error, self.broken = error or OSError("not prepared"), broken

    def for_transition(self, transition):
        if self.broken:
            raise self.error
        return super().for_transition(transition)


def mid_fit(trainer):
    """The iterator of a fit that has begun."""
    run = trainer.steps(batches(3))
    next(run)
    return run


def subscribe_everywhere(other):
    """Everything by which another trainer, or a module, subscribes and unsubscribes."""
    other.on("after_loss")(lambda trainer, state: None)
    attachment = other.attach(Prepares())
    attachment()

    def module(trainer, state, transition):
        pass

    any_transition.connect(module)
    any_transition.disconnect(module)
    with any_transition.muted():
        pass
    other.instrument(lambda receiver, transition: receiver)()


@pytest.mark.parametrize("error", [OSError("not prepared"), CancelFitException("not prepared")])
def test_a_receiver_that_cannot_prepare_harms_no_other_trainer(error):
    handler = Unprepared(error)
    trainer, other = trainer_of(handler), trainer_of()
    run = mid_fit(trainer)
    handler.broken = True
    subscribe_everywhere(other)
    assert other.fit(batches(2)).step == 2
    with contextlib.suppress(OSError, IllegalCancelError):
        list(run)
    assert trainer.state.phase == "failed"


def test_a_receiver_that_cannot_prepare_fails_the_run_of_its_trainer():
    handler = Unprepared()
    trainer = trainer_of(handler)
    run = mid_fit(trainer)
    handler.broken = True
    trainer_of().on("after_loss")(lambda trainer, state: None)
    with pytest.raises(OSError, match="not prepared"):
        list(run)
    assert trainer.state.phase == "failed"
    trainer.detach(handler)
    assert trainer.fit(batches(2)).outcome == "completed"


def test_an_unprepared_receiver_raises_before_its_trainer_begins_a_run():
    handler = Unprepared(broken=True)
    trainer, trace = trainer_of(handler), []
    trainer.on("begin_fit")(lambda trainer, state: trace.append("begin_fit"))
    with pytest.raises(OSError, match="not prepared"):
        trainer.fit(batches(1))
    assert (trace, trainer.state.phase) == ([], "idle")
    subscribe_everywhere(trainer_of())
    handler.broken = False
    assert trainer.fit(batches(2)).step == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt("interrupt"), OSError("not prepared")])
def test_a_run_that_cannot_begin_is_never_prepared_again_while_somebody_keeps_its_error(error):
    handler = Unprepared(error, broken=True)
    trainer = trainer_of(handler)
    with pytest.raises(type(error)) as kept:
        trainer.fit(batches(1))
    subscribe_everywhere(trainer_of())
    assert kept.value is error


def test_an_unprepared_receiver_raises_where_it_is_attached_during_a_run():
    trainer = trainer_of()
    run, handler = mid_fit(trainer), Unprepared(broken=True)
    with pytest.raises(OSError, match="not prepared"):
        trainer.attach(handler)
    assert handler not in trainer.handlers
    list(run)
    assert trainer.state.outcome == "completed"


def test_an_instrument_that_raises_does_so_where_it_was_added():
    def around(receiver, transition):
        raise OSError("no clock")

    trainer = trainer_of(Prepares())
    run = mid_fit(trainer)
    with pytest.raises(OSError, match="no clock"):
        trainer.instrument(around)
    list(run)
    assert (trainer.instruments, trainer.state.outcome) == ((), "completed")


def test_on_error_detach_applies_to_the_preparation(caplog):
    handler = Unprepared(broken=True)
    handler.on_error = "detach"
    trainer = trainer_of(handler)
    with caplog.at_level(logging.ERROR, logger="trackside"):
        assert trainer.fit(batches(2)).step == 2
    assert handler not in trainer.handlers
    assert caplog.text.count("it is detached and the run continues") == 1

"""What is done when a fit has ended."""

import warnings

import pytest
from helpers import batches, raise_at, trainer_of

from trackside.engine.run_context import RunSession
from trackside.events import CancelFitException, TrainState


def test_a_subscription_that_is_never_called_says_so_at_the_end_of_the_fit():
    trainer = trainer_of()

    @trainer.on("after_loss", every=100)
    def print_loss(trainer, state):
        raise AssertionError

    with pytest.warns(UserWarning, match=r"print_loss at after_loss: every=100 was not reached"):
        trainer.fit(batches(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(batches(3))  # said once


def test_a_subscription_that_is_called_or_not_due_says_nothing():
    trainer = trainer_of()
    trainer.on("after_loss", every=3)(lambda trainer, state: None)
    trainer.on("begin_validate", every=2)(lambda trainer, state: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(batches(3))


def test_a_cancelled_fit_does_not_say_that_a_subscription_was_never_called():
    trainer = trainer_of()
    trainer.on("after_loss", every=100)(lambda trainer, state: None)
    raise_at(trainer, "after_step", CancelFitException)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(batches(2))
    assert trainer.state.outcome == "cancelled"


def test_a_session_that_an_interrupt_kept_from_beginning_can_be_ended():
    ended = []

    def interrupted():
        raise KeyboardInterrupt

    def prepare():
        yield

    session = RunSession(TrainState(None), "fit", prepare(), interrupted, lambda: ended.append(1))
    with pytest.raises(KeyboardInterrupt), session:
        raise AssertionError
    session.close()
    assert ended == [1]

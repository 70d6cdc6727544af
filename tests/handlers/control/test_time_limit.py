import math

import pytest
from helpers import (
    batches,
    cancelled_fit,
    equal,
    every_cancel,
    model,
    state_of,
    trainer_of,
    weights,
)

from trackside.events import CancelFitException
from trackside.handlers.control.time_limit import TimeLimit
from trackside.handlers.logging.history import History


class Clock:
    """A second passes with each batch."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now

    def begin_batch(self, trainer, state):
        self.now += 1


def limited(seconds, **options):
    clock = Clock()
    trainer = trainer_of(TimeLimit(seconds, clock), clock)
    trainer.fit(batches(5), epochs=3, **options)
    return trainer


@pytest.mark.parametrize(("seconds", "steps"), [(1, 1), (0.5, 1), (3, 3), (3.5, 4), (7, 7)])
def test_the_fit_ends_after_the_first_batch_over_the_limit(seconds, steps):
    trainer = limited(seconds)
    assert (trainer.state.step, trainer.state.phase) == (steps, "cancelled")


def test_the_reason_has_the_limit_and_the_time():
    cancel = limited(3.5).state.cancel
    assert isinstance(cancel, CancelFitException)
    assert cancel.reason == "the limit of 3.5 s is over: 4.0 s since the fit began"
    assert cancel.raised_by == "handler TimeLimit.after_batch"


@pytest.mark.parametrize("seconds", [16, math.inf])
def test_a_fit_within_the_limit_completes(seconds):
    trainer = limited(seconds)
    assert (trainer.state.step, trainer.state.phase) == (15, "completed")


def test_a_validation_over_the_limit_is_ended():
    trainer = limited(7, valid_loader=batches(5))
    assert trainer.state.phase == "cancelled"
    assert (trainer.state.step, trainer.state.batch_index) == (5, 1)


def test_validate_and_predict_have_no_limit():
    clock = Clock()
    trainer = trainer_of(TimeLimit(1, clock), clock)
    trainer.validate(batches(3))
    assert trainer.state.phase == "completed"
    assert len(trainer.predict(batches(3))) == 12


def test_each_fit_has_the_full_limit():
    clock, history = Clock(), History()
    trainer = trainer_of(TimeLimit(3, clock), clock, history)
    trainer.fit(batches(2))
    trainer.validate(batches(5))
    clock.now += 1000
    trainer.fit(batches(2))
    assert [row["outcome"] for row in history.rows] == ["completed"] * 2


def test_attached_during_a_fit_it_counts_from_then():
    clock = Clock()
    trainer = trainer_of(clock)
    trainer.on("after_batch", when=lambda t, state: state.batch_index == 1)(
        lambda t, state: t.attach(TimeLimit(2, clock))
    )
    trainer.fit(batches(5))
    assert (trainer.state.step, trainer.state.phase) == (4, "cancelled")


def test_detached_during_a_fit_it_ends_nothing():
    clock = Clock()
    limit = TimeLimit(3, clock)
    trainer = trainer_of(limit, clock)
    trainer.on("after_batch", once=True)(lambda t, state: t.detach(limit))
    trainer.fit(batches(5))
    assert trainer.state.phase == "completed"


def test_the_default_clock_is_monotonic():
    trainer = trainer_of(TimeLimit(1e9))
    trainer.fit(batches(2))
    assert trainer.state.phase == "completed"
    trainer_of(TimeLimit(1e-12)).fit(batches(2))


def test_works_on_a_hand_made_state():
    clock, state = Clock(), state_of()
    limit = TimeLimit(2, clock)
    next(limit.within_fit(None, state))
    limit.after_batch(None, state)
    clock.now += 2
    with pytest.raises(CancelFitException):
        limit.after_batch(None, state)


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_a_limit_must_be_above_0(seconds):
    with pytest.raises(ValueError, match=r"TimeLimit\(.*\): allowed: seconds, above 0"):
        TimeLimit(seconds)


def test_training_is_bitwise_unchanged():
    plain, timed = trainer_of(), trainer_of(TimeLimit(1e9))
    for trainer in (plain, timed):
        trainer.fit(batches(), batches(), epochs=2)
    assert equal(weights(plain), weights(timed))


def test_no_device_sync():
    trainer = trainer_of(TimeLimit(1e9), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
def test_after_any_cancel_the_next_fit_has_the_full_limit(signal, scope):
    clock = Clock()
    trainer = cancelled_fit(TimeLimit(11, clock), signal, scope, early=False, handlers=[clock])
    trainer.fit(batches(12))
    assert (trainer.state.step, trainer.state.phase) == (11, "cancelled")

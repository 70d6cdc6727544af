import copy

import pytest
import torch
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

from trackside.events import CancelEpochException
from trackside.handlers.control.early_stopping import EarlyStopping
from trackside.handlers.control.skip_epochs import SkipEpochs
from trackside.handlers.logging.history import History
from trackside.handlers.logging.metrics import Metrics
from trackside.handlers.schedules.one_cycle import OneCycle


@pytest.mark.parametrize(("before", "steps"), [(0, 12), (1, 9), (3, 3), (4, 0), (9, 0)])
def test_the_first_epochs_are_cancelled(before, steps):
    history = History()
    trainer = trainer_of(SkipEpochs(before), history)
    trainer.fit(batches(3), epochs=4)
    skipped = min(before, 4)
    assert trainer.state.step == steps
    assert [row["epoch"] for row in history.rows] == [0, 1, 2, 3]
    outcomes = ["cancelled"] * skipped + ["completed"] * (4 - skipped)
    assert [row["outcome"] for row in history.rows] == outcomes
    assert trainer.state.phase == "completed"


def test_skipped_epochs_read_no_batch_and_draw_no_random_number():
    read = []

    class Reading:
        def __iter__(self):
            read.append(trainer.state.epoch)
            return iter(batches(2))

    trainer = trainer_of(SkipEpochs(2))
    before = torch.get_rng_state()
    trainer.fit(Reading(), Reading(), epochs=3)
    assert read == [2, 2]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_continued_by_skipping_equals_one_run():
    whole, checkpoints = trainer_of(OneCycle(0.5)), []

    @whole.on("begin_epoch", when=lambda t, state: state.epoch == 2)
    def save(trainer, state):
        parts = state.model.state_dict(), state.optimizer.state_dict()["state"]
        checkpoints.append(copy.deepcopy(parts))

    whole.fit(batches(3), epochs=4)
    again = trainer_of(SkipEpochs(2), OneCycle(0.5))
    again.state.model.load_state_dict(checkpoints[0][0])
    optimizer = again.state.optimizer
    optimizer.load_state_dict({**optimizer.state_dict(), "state": checkpoints[0][1]})
    again.fit(batches(3), epochs=4)
    assert equal(weights(again), weights(whole))


def test_the_cancel_has_a_reason():
    trainer, reasons = trainer_of(SkipEpochs(2)), []
    trainer.on("after_cancel_epoch")(lambda t, state: reasons.append(state.cancel.reason))
    trainer.fit(batches(1), epochs=3)
    assert reasons == ["epochs before 2 are skipped"] * 2


def test_early_stopping_does_not_count_skipped_epochs():
    stopping = EarlyStopping(patience=1, min_delta=100)
    trainer = trainer_of(SkipEpochs(3), Metrics(), stopping)
    trainer.fit(batches(1), batches(1), epochs=9)
    assert (trainer.state.epoch, stopping.best_epoch) == (4, 3)


def test_a_second_fit_skips_them_again():
    trainer = trainer_of(SkipEpochs(1))
    for _ in range(2):
        trainer.fit(batches(2), epochs=2)
        trainer.validate(batches(2))
        assert trainer.state.step == 2


def test_detached_during_a_fit_it_skips_no_more_epochs():
    skip = SkipEpochs(3)
    trainer = trainer_of(skip)
    trainer.on("after_epoch", once=True)(lambda t, state: t.detach(skip))
    trainer.fit(batches(2), epochs=3)
    assert trainer.state.step == 4


def test_works_on_a_hand_made_state():
    SkipEpochs(2).begin_epoch(None, state_of(epoch=2))
    with pytest.raises(CancelEpochException):
        SkipEpochs(2).begin_epoch(None, state_of(epoch=1))


@pytest.mark.parametrize(
    ("before", "error"), [(-1, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_invalid_arguments_raise(before, error):
    with pytest.raises(error, match=r"SkipEpochs\(.*\): (found a \w+; )?allowed: an int, from 0"):
        SkipEpochs(before)


def test_no_device_sync():
    trainer = trainer_of(SkipEpochs(1), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 3


@every_cancel
def test_the_next_fit_skips_the_same_after_any_cancel(signal, scope):
    trainer = cancelled_fit(SkipEpochs(1), signal, scope, early=False)
    trainer.fit(batches(3), epochs=3)
    assert (trainer.state.step, trainer.state.phase) == (6, "completed")

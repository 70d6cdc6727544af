import pytest
from helpers import batches, state_of, trainer_of
from torch.optim.lr_scheduler import OneCycleLR

from trackside.handlers.control.step_limit import StepLimit
from trackside.handlers.schedules._step_plan import PLAN_WRITERS, StepPlan
from trackside.handlers.schedules.annealing import Annealing
from trackside.handlers.schedules.cosine_warmup import CosineWarmup
from trackside.handlers.schedules.flat_cosine import FlatCosine
from trackside.handlers.schedules.lr_schedule import LRSchedule
from trackside.handlers.schedules.one_cycle import OneCycle


def one_cycle_of_torch(optimizer, total):
    return OneCycleLR(optimizer, 0.5, total_steps=total)


@pytest.mark.parametrize("last", [False, True], ids=["attached_first", "attached_last"])
@pytest.mark.parametrize(
    "schedule", [lambda: LRSchedule(one_cycle_of_torch), OneCycle], ids=["LRSchedule", "OneCycle"]
)
def test_step_limit_limits_the_plan_of_a_schedule(schedule, last):
    planned, limit = schedule(), StepLimit(5)
    trainer = trainer_of(*[limit, planned] if last else [planned, limit])
    trainer.fit(batches(10), epochs=2)
    assert planned.total == 5
    assert trainer.state.step == 5


def test_LRSchedule_and_OneCycle_have_the_same_rates_under_a_step_limit():
    used = []
    for schedule in (LRSchedule(one_cycle_of_torch), OneCycle(0.5)):
        rates = []
        trainer = trainer_of(schedule, StepLimit(5))
        trainer.on("begin_step")(lambda t, state, rates=rates: rates.append(state.lr))
        trainer.fit(batches(10), epochs=2)
        used.append(rates)
    assert len(used[0]) == 5
    assert used[0] == pytest.approx(used[1])


def test_every_planned_schedule_runs_after_the_plan_writers():
    for schedule in (LRSchedule, OneCycle, CosineWarmup, FlatCosine, Annealing):
        assert schedule.runs_after == PLAN_WRITERS
    assert "StepLimit" in PLAN_WRITERS


@pytest.mark.parametrize(
    ("fields", "total"),
    [
        ({}, 20),
        ({"limits": {"steps": 5}}, 5),
        ({"limits": {"steps": 50}}, 20),
        ({"batches_per_epoch": 4}, 8),
        ({"batches_per_step": 3}, 8),
        ({"batches_per_step": 99}, 2),
        ({"n_epochs": 0}, 1),
    ],
)
def test_total_counts_the_steps_of_the_whole_fit(fields, total):
    state = state_of(**{"n_epochs": 2, "train_loader": batches(10), **fields})
    assert StepPlan(state, "OneCycle").total == total


@pytest.mark.parametrize(("epoch", "batch_index", "done"), [(0, 0, 0), (0, 5, 2), (1, 9, 9)])
def test_position_counts_the_steps_before_the_current_batch(epoch, batch_index, done):
    state = state_of(n_epochs=2, train_loader=batches(10), batches_per_step=2)
    planned = StepPlan(state, "OneCycle")
    state.epoch, state.batch_index, state.training = epoch, batch_index, True
    state.phase = "fit.epoch.train.batch.forward"
    assert planned.position(state) == done


def test_unknown_number_of_batches_raises_and_names_the_schedule():
    with pytest.raises(ValueError, match=r"OneCycle needs .* has no length; pass batches_per_"):
        StepPlan(state_of(train_loader=(batch for batch in batches())), "OneCycle")

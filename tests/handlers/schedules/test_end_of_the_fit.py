"""Every handler that uses totals, in every way in which a fit may end elsewhere than planned."""

import pytest
import torch
from helpers import batches, model, trainer_of
from torch.optim.lr_scheduler import LinearLR

from trackside.handlers.control.limit_batches import LimitBatches
from trackside.handlers.control.step_limit import StepLimit
from trackside.handlers.control.time_limit import TimeLimit
from trackside.handlers.control.token_limit import TokenLimit
from trackside.handlers.optimization.gradient_accumulation import GradientAccumulation
from trackside.handlers.schedules.annealing import Annealing, linear
from trackside.handlers.schedules.cosine_warmup import CosineWarmup
from trackside.handlers.schedules.flat_cosine import FlatCosine
from trackside.handlers.schedules.lr_schedule import LRSchedule
from trackside.handlers.schedules.one_cycle import OneCycle


def falling(optimizer, total):
    return LinearLR(optimizer, 1.0, 0.001, total_iters=total)


SCHEDULES = {
    "Annealing": lambda: Annealing("lr", linear(0.1, 0.0)),
    "CosineWarmup": lambda: CosineWarmup(0.2),
    "FlatCosine": lambda: FlatCosine(0.2),
    "LRSchedule": lambda: LRSchedule(falling),
    "OneCycle": lambda: OneCycle(0.1),
}


class Clock:
    """A second passes with each training batch; in another process it begins anew."""

    now = 0.0

    def __call__(self):
        return self.now

    def after_step(self, trainer, state):
        self.now += 1

    def state_dict(self):
        return {}

    def load_state_dict(self, state): ...


class Told(list):
    """A loader that tells a wrong length."""

    def __init__(self, given, told):
        super().__init__(given)
        self.told = told

    def __len__(self):
        return self.told


def timed():
    clock = Clock()
    return clock, TimeLimit(19.5, clock)


ENDS = {
    "plain": (lambda: (), 10, 20),
    "accumulation": (lambda: (GradientAccumulation(2),), 10, 10),
    "StepLimit": (lambda: (StepLimit(12),), 10, 12),
    "TokenLimit": (lambda: (TokenLimit(12 * 20),), 10, 12),
    "TimeLimit": (timed, 50, 20),
    "LimitBatches": (lambda: (LimitBatches(train=6),), 10, 12),
    "shorter than told": (lambda: (), 15, 20),
    "longer than told": (lambda: (), 8, 20),
}


def fitted(schedule, end, resumed=False):
    """The rates of all steps, and the highest position that was told."""
    make, told, _ = ENDS[end]
    data, rates = batches(50 if end == "TimeLimit" else 10), []
    loader = data if told == len(data) else Told(data, told)

    def trainer():
        net = model()
        made = trainer_of(
            SCHEDULES[schedule](),
            *make(),
            net=net,
            optimizer=torch.optim.SGD(net.parameters(), 0.1),
        )
        made.on("begin_step")(lambda t, state: rates.append((state.samples, state.lr)))
        return made

    first = trainer()
    if not resumed:
        first.fit(loader, epochs=2)
        return first, rates
    run = first.steps(loader, epochs=2)
    for transition in run:
        if transition.trigger == "after_batch" and first.state.samples == 11 * 4:
            saved = first.state_dict()
            break
    rates_before = list(rates)
    run.close()
    rates[:] = rates_before
    second = trainer()
    second.fit(loader, epochs=2, resume=saved)
    return second, rates


@pytest.mark.filterwarnings("ignore:train_loader .Told. tells")
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_ends_where_the_fit_ends(schedule, end):
    trainer, rates = fitted(schedule, end)
    assert trainer.state.step == ENDS[end][2]
    last, highest = rates[-1][1], max(rate for _, rate in rates)
    assert last < 0.2 * highest
    assert last == min(rate for _, rate in rates[len(rates) // 2 :])


@pytest.mark.filterwarnings("ignore:train_loader .(Told|list). (tells|cannot)")
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_resumed_schedule_has_the_rates_of_one_that_was_not_stopped(schedule, end):
    _, whole = fitted(schedule, end)
    _, resumed = fitted(schedule, end, resumed=True)
    assert resumed == whole


@pytest.mark.filterwarnings("ignore:train_loader .Told. tells")
@pytest.mark.parametrize("end", ENDS)
def test_the_progress_of_the_fit_rises_to_its_end(end):
    make, told, _ = ENDS[end]
    data = batches(50 if end == "TimeLimit" else 10)
    trainer, fractions = trainer_of(*make()), []
    trainer.on("begin_batch")(lambda t, state: fractions.append(state.progress().fraction))
    trainer.on("after_epoch")(lambda t, state: fractions.append(state.progress().fraction))
    trainer.fit(data if told == len(data) else Told(data, told), epochs=2)
    assert fractions[0] == 0
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.filterwarnings("ignore:train_loader .Told. tells")
@pytest.mark.parametrize(
    ("told", "first_epoch"),
    [
        (8, [*(n / 16 for n in range(8)), 7 / 16, 7 / 16]),  # held until the length is known
        (15, [n / 30 for n in range(10)]),
    ],
)
def test_after_the_first_epoch_the_real_length_counts(told, first_epoch):
    """A longer loader must not use up what is planned for the second epoch."""
    trainer, rates = trainer_of(Annealing("lr", linear(0.0, 1.0))), []
    trainer.on("begin_step")(lambda t, state: rates.append(state.lr))
    trainer.fit(Told(batches(10), told), epochs=2)
    assert rates == pytest.approx([*first_epoch, *(n / 20 for n in range(10, 20))])


def test_a_fit_that_resumes_twice_under_a_time_limit_ends_as_one_that_was_not_stopped():
    def trainer():
        made = trainer_of(SCHEDULES["CosineWarmup"](), *timed())
        made.on("begin_step")(lambda t, state: rates.append(state.lr))
        return made

    def saved_after(run, state, batches_done):
        for transition in run:
            if transition.trigger == "after_batch" and state.samples == batches_done * 4:
                return made.state_dict()
        return None

    data, rates, saved = batches(50), [], None
    for batches_done in (5, 13):
        made = trainer()
        run = made.steps(data, epochs=2, resume=saved)
        saved = saved_after(run, made.state, batches_done)
        del run
    made = trainer()
    made.fit(data, epochs=2, resume=saved)
    resumed, rates = rates, []
    trainer().fit(data, epochs=2)
    assert resumed == rates
    assert len(rates) == 20

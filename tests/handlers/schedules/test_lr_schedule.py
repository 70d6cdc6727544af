import copy
import functools

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    state_of,
    trainer_of,
    weights,
)
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from trackside.events import CancelEpochException, CancelStepException
from trackside.handlers import GradientAccumulation, LRSchedule, StepLimit, TokenLimit


def halving(optimizer):
    return StepLR(optimizer, 1, 0.5)


def rates(trainer, signal="begin_step"):
    seen = []
    trainer.on(signal)(lambda t, state: seen.append(state.lr))
    return seen


def test_scheduler_steps_after_each_update():
    trainer = trainer_of(LRSchedule(halving))
    seen = rates(trainer)
    trainer.fit(batches(2), epochs=2)
    assert seen == [0.1, 0.05, 0.025, 0.0125]


def test_scheduler_can_step_after_each_epoch():
    trainer = trainer_of(LRSchedule(halving, every="epoch"))
    seen = rates(trainer)
    trainer.fit(batches(2), epochs=2)
    assert seen == [0.1, 0.1, 0.05, 0.05]


def test_validation_does_not_step_the_scheduler():
    trainer = trainer_of(LRSchedule(halving))
    seen = rates(trainer, "after_epoch")
    trainer.fit(batches(1), batches(3))
    assert seen == [0.05]


@pytest.mark.parametrize(
    "make",
    [
        lambda o: LambdaLR(o, lambda n: 1 / (n + 1)),
        lambda o: CosineAnnealingLR(o, T_max=6),
        lambda o: LinearLR(o, total_iters=4),
        lambda o: SequentialLR(o, [LinearLR(o, total_iters=2), ExponentialLR(o, 0.5)], [2]),
        lambda o: ChainedScheduler(
            [LinearLR(o, total_iters=2), ExponentialLR(o, 0.5)], optimizer=o
        ),
        functools.partial(ExponentialLR, gamma=0.5),
    ],
)
def test_any_scheduler_equals_a_manual_loop(make):
    trainer = trainer_of(LRSchedule(make))
    seen = rates(trainer)
    trainer.fit(batches(3), epochs=2)

    optimizer = torch.optim.SGD(model().parameters(), lr=0.1)
    scheduler, by_hand = make(optimizer), []
    for _ in range(6):
        by_hand.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert seen == by_hand


def test_factory_with_two_arguments_gets_the_total():
    totals = []

    def factory(optimizer, total):
        totals.append(total)
        return OneCycleLR(optimizer, 0.5, total_steps=total)

    trainer = trainer_of(LRSchedule(factory))
    seen = rates(trainer)
    trainer.fit(batches(5), epochs=4)
    assert totals == [20]
    assert max(seen) == pytest.approx(0.5, rel=0.05)
    assert seen[-1] == pytest.approx(0.5 / 25 / 1e4)


@pytest.mark.parametrize(
    ("every", "handlers", "limit", "total"),
    [
        ("epoch", [], None, 4),
        ("step", [], 3, 12),
        ("step", [], 9, 20),
        ("step", [GradientAccumulation(2)], None, 12),
        ("step", [GradientAccumulation(8)], None, 4),
    ],
    ids=["epochs", "limited", "limit_beyond", "accumulated", "accumulated_beyond_the_epoch"],
)
def test_total_is_the_number_of_scheduler_steps(every, handlers, limit, total):
    totals, steps = [], []

    class Counting(LambdaLR):
        def __init__(self, optimizer, total):
            totals.append(total)
            super().__init__(optimizer, lambda n: 1.0)
            self.constructed = True

        def step(self, epoch=None):
            super().step()
            if hasattr(self, "constructed"):
                steps.append(1)

    schedule = LRSchedule(lambda o, total: Counting(o, total=total), every)
    trainer_of(schedule, *handlers).fit(batches(5), epochs=4, batches_per_epoch=limit)
    assert totals == [total]
    assert len(steps) == total


def falling_by_epochs(totals):
    def factory(optimizer, total):
        totals.append(total)
        return LinearLR(optimizer, 1.0, 0.0, total_iters=total)

    return LRSchedule(factory, every="epoch")


def test_a_limit_of_steps_leaves_fewer_epochs_to_a_schedule_of_epochs():
    totals = []
    trainer = trainer_of(falling_by_epochs(totals), StepLimit(7))
    seen = rates(trainer, "begin_epoch")
    trainer.fit(batches(2), epochs=8)
    assert totals == [4]
    assert seen == pytest.approx([0.1, 0.075, 0.05, 0.025])


def test_under_a_limit_of_tokens_a_schedule_of_epochs_ends_with_the_fit():
    totals = []
    trainer = trainer_of(falling_by_epochs(totals), TokenLimit(4 * 2 * 20))
    seen = rates(trainer, "begin_epoch")
    trainer.fit(batches(2), epochs=8)
    assert totals == [8]
    assert seen == pytest.approx([0.1, 0.075, 0.05, 0.025])


def test_endless_loader_with_a_limit_has_a_total():
    totals = []
    trainer = trainer_of(LRSchedule(lambda o, total: totals.append(total) or halving(o)))
    trainer.fit(iter(batches(6)), epochs=2, batches_per_epoch=3)
    assert totals == [6]


def test_unknown_total_raises_with_advice():
    trainer = trainer_of(LRSchedule(lambda optimizer, total: halving(optimizer)))
    with pytest.raises(ValueError, match=r"generator\) has no length; pass batches_per_epoch="):
        trainer.fit(batch for batch in batches())
    assert trainer.state.phase == "failed"


def test_fit_of_zero_epochs_completes():
    trainer = trainer_of(LRSchedule(lambda o, total: OneCycleLR(o, 0.5, total_steps=total)))
    trainer.fit(batches(), epochs=0)
    assert trainer.state.phase == "completed"


def test_a_state_from_outside_of_a_fit_is_loaded_and_begins_no_schedule():
    trainer = trainer_of(LRSchedule(halving))
    trainer.fit(batches(3))
    saved = copy.deepcopy(trainer.state_dict())
    other = trainer_of(LRSchedule(halving))
    other.load_state_dict(saved)
    seen = rates(other)
    other.fit(batches(3))
    assert seen == [0.1, 0.05, 0.025]


def test_cancelled_step_does_not_step_the_scheduler():
    trainer = trainer_of(LRSchedule(halving))

    @trainer.on("begin_step", when=lambda t, state: state.batch_index < 2)
    def cancel(trainer, state):
        raise CancelStepException

    seen = rates(trainer, "after_batch")
    trainer.fit(batches(3))
    assert seen == [0.1, 0.1, 0.05]


def test_accumulated_batch_does_not_step_the_scheduler():
    trainer = trainer_of(LRSchedule(halving), GradientAccumulation(2))
    seen = rates(trainer, "after_batch")
    trainer.fit(batches(4))
    assert seen == [0.1, 0.05, 0.05, 0.025]


def test_epoch_without_update_does_not_step_the_scheduler():
    trainer = trainer_of(LRSchedule(halving, every="epoch"))

    @trainer.on("begin_train", when=lambda t, state: state.epoch == 0)
    def cancel(trainer, state):
        raise CancelEpochException

    seen = rates(trainer, "begin_epoch")
    trainer.fit(batches(1), epochs=3)
    assert seen == [0.1, 0.1, 0.05]


def test_next_fit_starts_a_new_schedule_at_the_first_rate():
    trainer = trainer_of(LRSchedule(halving))
    seen = rates(trainer)
    for _ in range(2):
        trainer.fit(batches(2))
    assert seen == [0.1, 0.05, 0.1, 0.05]


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9),
        lambda parameters: torch.optim.AdamW(parameters, 0.1),
        lambda parameters: torch.optim.AdamW(
            [{"params": [p], "lr": 0.1 * n} for n, p in enumerate(parameters, 1)], 0.1
        ),
        lambda parameters: torch.optim.Adam(parameters, torch.tensor(0.1)),
    ],
    ids=["sgd", "adamw", "groups", "tensor"],
)
def test_optimizer_options_are_restored_when_the_fit_closes(optimizer):
    net = model()
    optim = optimizer(list(net.parameters()))
    trainer = trainer_of(
        LRSchedule(lambda o, total: OneCycleLR(o, 0.5, total_steps=total)), net=net, optimizer=optim
    )

    def options():
        return copy.deepcopy(
            [{k: v for k, v in g.items() if k != "params"} for g in optim.param_groups]
        )

    before, lr_object = options(), optim.param_groups[0]["lr"]
    trainer.fit(batches(2), epochs=3)
    assert options() == before
    assert optim.param_groups[0]["lr"] is lr_object


def test_rate_set_between_fits_is_the_start_of_the_next():
    trainer = trainer_of(LRSchedule(lambda o: LambdaLR(o, lambda n: 0.5**n)))
    seen = rates(trainer)
    trainer.fit(batches(2))
    trainer.state.optimizer.param_groups[0]["lr"] = 0.4
    trainer.fit(batches(2))
    assert seen == [0.1, 0.05, 0.4, 0.2]


def test_replaced_optimizer_is_scheduled():
    schedule = LRSchedule(halving)
    trainer = trainer_of(schedule)
    other = torch.optim.SGD(trainer.state.model.parameters(), lr=0.8)
    trainer.state.optimizer = other
    seen = rates(trainer)
    trainer.fit(batches(2))
    assert seen == [0.8, 0.4]


def test_training_equals_a_manual_loop_bitwise():
    trainer = trainer_of(LRSchedule(lambda o, total: OneCycleLR(o, 0.5, total_steps=total)))
    trainer.fit(batches(3), epochs=2)

    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scheduler = OneCycleLR(optimizer, 0.5, total_steps=6)
    for _ in range(2):
        for x, y in batches(3):
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    assert equal(weights(trainer), net.parameters())


def test_works_on_a_hand_made_state():
    net = model()
    state = state_of(model=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    schedule = LRSchedule(halving)
    fit = schedule.within_fit(None, state)
    next(fit)
    schedule.after_step(None, state)
    assert state.lr == 0.1
    state.optimizer.step()
    state.step = 1
    schedule.after_step(None, state)
    schedule.after_step(None, state)
    assert state.lr == 0.05
    assert next(fit, "ended") == "ended"
    assert state.lr == 0.1


def test_detach_during_fit_restores_the_rate():
    schedule = LRSchedule(halving)
    trainer = trainer_of(schedule)
    trainer.on("begin_batch", when=lambda t, state: state.batch_index == 1)(
        lambda t, state: t.detach(schedule)
    )
    seen = rates(trainer)
    trainer.fit(batches(3))
    assert seen == [0.1, 0.1, 0.1]


def test_plateau_scheduler_raises_and_names_ReduceOnPlateau():
    with pytest.raises(TypeError, match="use ReduceOnPlateau"):
        LRSchedule(ReduceLROnPlateau)
    trainer = trainer_of(LRSchedule(lambda o: ReduceLROnPlateau(optimizer=o)))
    with pytest.raises(TypeError, match="use ReduceOnPlateau"):
        trainer.fit(batches())


def test_scheduler_instead_of_a_factory_raises():
    optimizer = torch.optim.SGD(model().parameters(), lr=0.1)
    with pytest.raises(TypeError, match="expected a function that returns a scheduler"):
        LRSchedule(halving(optimizer))


def test_class_as_factory_raises():
    with pytest.raises(TypeError, match="expected a function that returns a scheduler"):
        LRSchedule(ExponentialLR)


@pytest.mark.parametrize("factory", [lambda: None, lambda a, b, c: None])
def test_factory_with_other_arguments_raises(factory):
    with pytest.raises(TypeError, match=r"expected \(optimizer\) or \(optimizer, total\)"):
        LRSchedule(factory)


def test_factory_that_returns_no_scheduler_raises():
    with pytest.raises(TypeError, match="returned a NoneType"):
        trainer_of(LRSchedule(lambda optimizer: None)).fit(batches())


def test_scheduler_for_another_optimizer_raises():
    other = torch.optim.SGD(model().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="another optimizer than the trainer's"):
        trainer_of(LRSchedule(lambda optimizer: halving(other))).fit(batches())


def test_every_must_be_step_or_epoch():
    with pytest.raises(ValueError, match="allowed: 'step', 'epoch'"):
        LRSchedule(halving, every="batch")


def test_no_device_sync():
    trainer = trainer_of(LRSchedule(halving), net=model().to("meta"), device="meta")
    trainer.fit(batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
@early_or_late
def test_any_cancel_restores_the_rate(signal, scope, early):
    schedule = LRSchedule(halving)
    trainer = cancelled_fit(schedule, signal, scope, early)
    assert trainer.state.lr == 0.1
    assert schedule.scheduler is None
    seen = rates(trainer)
    trainer.fit(batches(2))
    assert seen == [0.1, 0.05]

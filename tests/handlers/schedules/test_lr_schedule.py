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
from trackside.handlers import GradientAccumulation, LRSchedule


def halving(optimizer):
    return StepLR(optimizer, 1, 0.5)


def rates(trainer, signal="begin_step"):
    seen = []
    trainer.on(signal)(lambda t, state: seen.append(state.lr))
    return seen


def test_it_is_stepped_after_each_update():
    trainer = trainer_of(LRSchedule(halving))
    seen = rates(trainer)
    trainer.fit(batches(2), epochs=2)
    assert seen == [0.1, 0.05, 0.025, 0.0125]


def test_or_after_each_epoch():
    trainer = trainer_of(LRSchedule(halving, every="epoch"))
    seen = rates(trainer)
    trainer.fit(batches(2), epochs=2)
    assert seen == [0.1, 0.1, 0.05, 0.05]


def test_a_validation_does_not_step_it():
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
def test_any_scheduler_moves_the_rate_as_in_a_loop_by_hand(make):
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


def test_a_factory_of_two_arguments_gets_the_number_of_steps():
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
def test_the_total_is_how_often_it_will_be_stepped(every, handlers, limit, total):
    totals, steps = [], []

    class Counting(LambdaLR):
        def __init__(self, optimizer, total):
            totals.append(total)
            super().__init__(optimizer, lambda n: 1.0)
            self.made = True

        def step(self, epoch=None):
            super().step()
            if hasattr(self, "made"):
                steps.append(1)

    schedule = LRSchedule(lambda o, total: Counting(o, total=total), every)
    trainer_of(schedule, *handlers).fit(batches(5), epochs=4, batches_per_epoch=limit)
    assert totals == [total]
    assert len(steps) == total


def test_an_endless_loader_has_a_total_if_it_is_limited():
    totals = []
    trainer = trainer_of(LRSchedule(lambda o, total: totals.append(total) or halving(o)))
    trainer.fit(iter(batches(6)), epochs=2, batches_per_epoch=3)
    assert totals == [6]


def test_a_total_that_nobody_knows_is_an_error_that_says_what_to_do():
    trainer = trainer_of(LRSchedule(lambda optimizer, total: halving(optimizer)))
    with pytest.raises(ValueError, match=r"generator\) has no length; pass batches_per_epoch="):
        trainer.fit(batch for batch in batches())
    assert trainer.state.phase == "failed"


def test_no_epochs_need_no_schedule():
    trainer = trainer_of(LRSchedule(lambda o, total: OneCycleLR(o, 0.5, total_steps=total)))
    trainer.fit(batches(), epochs=0)
    assert trainer.state.phase == "completed"


def test_a_cancelled_step_does_not_step_it():
    trainer = trainer_of(LRSchedule(halving))

    @trainer.on("begin_step", when=lambda t, state: state.batch_index < 2)
    def cancel(trainer, state):
        raise CancelStepException

    seen = rates(trainer, "after_batch")
    trainer.fit(batches(3))
    assert seen == [0.1, 0.1, 0.05]


def test_an_accumulated_batch_does_not_step_it():
    trainer = trainer_of(LRSchedule(halving), GradientAccumulation(2))
    seen = rates(trainer, "after_batch")
    trainer.fit(batches(4))
    assert seen == [0.1, 0.05, 0.05, 0.025]


def test_an_epoch_without_an_update_does_not_step_it():
    trainer = trainer_of(LRSchedule(halving, every="epoch"))

    @trainer.on("begin_train", when=lambda t, state: state.epoch == 0)
    def cancel(trainer, state):
        raise CancelEpochException

    seen = rates(trainer, "begin_epoch")
    trainer.fit(batches(1), epochs=3)
    assert seen == [0.1, 0.1, 0.05]


def test_a_new_fit_begins_a_new_schedule_where_the_first_began():
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
def test_the_options_of_the_optimizer_are_as_before_when_the_fit_closes(optimizer):
    net = model()
    made = optimizer(list(net.parameters()))
    trainer = trainer_of(
        LRSchedule(lambda o, total: OneCycleLR(o, 0.5, total_steps=total)), net=net, optimizer=made
    )

    def options():
        return copy.deepcopy(
            [{k: v for k, v in g.items() if k != "params"} for g in made.param_groups]
        )

    before, held = options(), made.param_groups[0]["lr"]
    trainer.fit(batches(2), epochs=3)
    assert options() == before
    assert made.param_groups[0]["lr"] is held


def test_a_rate_set_between_two_fits_is_where_the_second_begins():
    trainer = trainer_of(LRSchedule(lambda o: LambdaLR(o, lambda n: 0.5**n)))
    seen = rates(trainer)
    trainer.fit(batches(2))
    trainer.state.optimizer.param_groups[0]["lr"] = 0.4
    trainer.fit(batches(2))
    assert seen == [0.1, 0.05, 0.4, 0.2]


def test_the_optimizer_that_a_handler_put_there_is_the_one_that_is_scheduled():
    schedule = LRSchedule(halving)
    trainer = trainer_of(schedule)
    other = torch.optim.SGD(trainer.state.model.parameters(), lr=0.8)
    trainer.state.optimizer = other
    seen = rates(trainer)
    trainer.fit(batches(2))
    assert seen == [0.8, 0.4]


def test_training_is_that_of_a_loop_by_hand_bit_for_bit():
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


def test_a_hand_made_state_is_enough():
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


def test_detached_in_a_fit_it_gives_the_rate_back():
    schedule = LRSchedule(halving)
    trainer = trainer_of(schedule)
    trainer.on("begin_batch", when=lambda t, state: state.batch_index == 1)(
        lambda t, state: t.detach(schedule)
    )
    seen = rates(trainer)
    trainer.fit(batches(3))
    assert seen == [0.1, 0.1, 0.1]


def test_plateau_is_refused_and_the_handler_for_it_named():
    with pytest.raises(TypeError, match="use ReduceOnPlateau"):
        LRSchedule(ReduceLROnPlateau)
    trainer = trainer_of(LRSchedule(lambda o: ReduceLROnPlateau(optimizer=o)))
    with pytest.raises(TypeError, match="use ReduceOnPlateau"):
        trainer.fit(batches())


def test_a_scheduler_instead_of_a_function_that_makes_one_is_refused():
    optimizer = torch.optim.SGD(model().parameters(), lr=0.1)
    with pytest.raises(TypeError, match="expected a function that makes a scheduler"):
        LRSchedule(halving(optimizer))


def test_a_class_is_refused_because_its_second_argument_is_no_total():
    with pytest.raises(TypeError, match="expected a function that makes a scheduler"):
        LRSchedule(ExponentialLR)


@pytest.mark.parametrize("factory", [lambda: None, lambda a, b, c: None])
def test_a_factory_of_other_arguments_is_refused(factory):
    with pytest.raises(TypeError, match=r"expected \(optimizer\) or \(optimizer, total\)"):
        LRSchedule(factory)


def test_a_factory_that_makes_no_scheduler_is_an_error():
    with pytest.raises(TypeError, match="gave a NoneType"):
        trainer_of(LRSchedule(lambda optimizer: None)).fit(batches())


def test_a_scheduler_of_another_optimizer_is_an_error():
    other = torch.optim.SGD(model().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="another optimizer than the trainer's"):
        trainer_of(LRSchedule(lambda optimizer: halving(other))).fit(batches())


def test_every_is_step_or_epoch():
    with pytest.raises(ValueError, match="allowed: 'step', 'epoch'"):
        LRSchedule(halving, every="batch")


def test_no_value_is_read_on_a_device():
    trainer = trainer_of(LRSchedule(halving), net=model().to("meta"), device="meta")
    trainer.fit(batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
@early_or_late
def test_whatever_is_cancelled_the_rate_is_as_it_was(signal, scope, early):
    schedule = LRSchedule(halving)
    trainer = cancelled_fit(schedule, signal, scope, early)
    assert trainer.state.lr == 0.1
    assert schedule.scheduler is None
    seen = rates(trainer)
    trainer.fit(batches(2))
    assert seen == [0.1, 0.05]

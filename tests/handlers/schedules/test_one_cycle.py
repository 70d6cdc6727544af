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
from optimizers import OPTIMIZERS, adamw, by_hand, fitted, in_groups, options, seen, sgd
from torch.optim.lr_scheduler import OneCycleLR

from trackside.events import CancelBatchException
from trackside.handlers.control.limit_batches import LimitBatches
from trackside.handlers.control.skip_epochs import SkipEpochs
from trackside.handlers.control.step_limit import StepLimit
from trackside.handlers.optimization.gradient_accumulation import GradientAccumulation
from trackside.handlers.schedules.one_cycle import OneCycle


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_equals_a_manual_loop_with_torch_scheduler(optimizer):
    trainer, rates = fitted(OneCycle(0.5), optimizer=optimizer)
    by_torch, expected = by_hand(lambda o: OneCycleLR(o, 0.5, total_steps=20), optimizer)
    assert equal(weights(trainer), by_torch)
    if not isinstance(rates[0], torch.Tensor):
        assert rates == expected


def test_arguments_match_those_of_OneCycleLR():
    def make(optimizer):
        return OneCycleLR(
            optimizer,
            0.5,
            total_steps=20,
            pct_start=0.4,
            div_factor=5.0,
            final_div_factor=10.0,
            base_momentum=0.6,
            max_momentum=0.7,
        )

    cycle = OneCycle(0.5, warmup=0.4, start_divisor=5, end_divisor=10, momentum=(0.6, 0.7))
    trainer, rates = fitted(cycle)
    by_torch, expected = by_hand(make)
    assert rates == expected
    assert equal(weights(trainer), by_torch)


@pytest.mark.parametrize(
    ("optimizer", "option", "momenta"),
    [(sgd, "momentum", [0.95, 0.85, 0.95]), (adamw, "betas", [(0.95, 0.999), (0.85, 0.999)])],
)
def test_momentum_moves_the_opposite_way(optimizer, option, momenta):
    net = model()
    trainer = trainer_of(OneCycle(0.5, warmup=0.5), net=net, optimizer=optimizer(net))
    used = seen(trainer, option)
    trainer.fit(batches(10), epochs=2)
    assert used[0] == momenta[0]
    assert used[9] == momenta[1]
    assert used[-1] == momenta[0]


def test_momentum_none_leaves_momentum_unchanged():
    net = model()
    trainer = trainer_of(OneCycle(0.5, momentum=None), net=net, optimizer=sgd(net))
    used = seen(trainer, "momentum")
    trainer.fit(batches(4))
    assert used == [0.9] * 4


def test_optimizer_without_momentum_gets_a_cycle_of_the_rate():
    net = model()
    optimizer = torch.optim.Adagrad(net.parameters(), lr=0.1)
    trainer = trainer_of(OneCycle(0.5, warmup=0.5), net=net, optimizer=optimizer)
    rates = seen(trainer)
    trainer.fit(batches(10))
    assert max(rates) == rates[4] == 0.5


def test_default_maximum_is_the_rate_of_each_group():
    net = model()
    trainer = trainer_of(OneCycle(warmup=0.5), net=net, optimizer=in_groups(net))
    first, last = seen(trainer, group=0), seen(trainer, group=3)
    trainer.fit(batches(10))
    assert first[4] == pytest.approx(0.1)
    assert last == pytest.approx([4 * rate for rate in first])


def test_each_group_can_have_its_own_maximum():
    net = model()
    cycle = OneCycle([0.1, 0.2, 0.3, 0.8], warmup=0.5)
    trainer = trainer_of(cycle, net=net, optimizer=in_groups(net))
    last = seen(trainer, group=3)
    trainer.fit(batches(10))
    assert max(last) == 0.8


def test_max_lr_must_have_one_value_per_group():
    trainer = trainer_of(OneCycle([0.1, 0.2]))
    with pytest.raises(
        ValueError, match="2 values of max_lr, and the optimizer 1 parameter groups"
    ):
        trainer.fit(batches())
    assert trainer.state.phase == "failed"


@pytest.mark.parametrize("momentum", [(0, 0.5), (0.5, 0.5)])
def test_momentum_can_be_zero_or_constant(momentum):
    trainer = trainer_of(OneCycle(0.5, momentum=momentum), net=(net := model()), optimizer=sgd(net))
    used = seen(trainer, "momentum")
    trainer.fit(batches(9))
    assert (max(used), used[-1]) == (0.5, 0.5)
    assert min(used) <= 0.5


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("warmup", [0.2, 0.25, 0.5])
def test_fit_of_few_steps_has_a_cycle(count, warmup):
    _, rates = fitted(OneCycle(0.5, warmup=warmup), count=count, epochs=1)
    assert len(rates) == count
    assert all(0 < rate <= 0.5 for rate in rates)


def test_fit_of_zero_epochs_completes():
    trainer, _ = fitted(OneCycle(), epochs=0)
    assert trainer.state.phase == "completed"


def test_cancelled_batch_does_not_delay_the_schedule():
    _, plain = fitted(OneCycle(0.5))
    trainer = trainer_of(OneCycle(0.5), net=(net := model()), optimizer=sgd(net))
    rates = seen(trainer)
    trainer.on("begin_batch", when=lambda t, state: state.batch_index in (0, 2))(cancel_batch)
    trainer.fit(batches(5), epochs=4)
    assert rates == [rate for n, rate in enumerate(plain) if n % 5 not in (0, 2)]


def cancel_batch(trainer, state):
    raise CancelBatchException


def test_skipped_epochs_count_as_passed():
    _, plain = fitted(OneCycle(0.5))
    _, rates = fitted(SkipEpochs(2), OneCycle(0.5))
    assert rates == plain[10:]


@pytest.mark.parametrize(
    ("handlers", "limit", "total"),
    [
        ([LimitBatches(train=3)], None, 12),
        ([LimitBatches(train=9)], 2, 8),
        ([GradientAccumulation(2)], None, 12),
        ([GradientAccumulation(2), LimitBatches(train=4)], None, 8),
        ([StepLimit(7)], None, 7),
        ([StepLimit(70)], None, 20),
    ],
    ids=["limited", "limited_twice", "accumulated", "both", "steps", "steps_beyond"],
)
@pytest.mark.parametrize("last", [False, True])
def test_cycle_ends_with_a_shortened_fit(handlers, limit, total, last):
    cycle = OneCycle(0.5)
    order = [*handlers, cycle] if last else [cycle, *handlers]
    trainer, rates = fitted(*copy.deepcopy(order), batches_per_epoch=limit)
    _, expected = by_hand(lambda o: OneCycleLR(o, 0.5, total_steps=total), epochs=1, count=total)
    assert rates == expected
    assert trainer.state.step == total


def test_a_later_end_of_the_fit_stretches_the_rest_of_the_cycle():
    trainer = trainer_of(OneCycle(0.5), net=(net := model()), optimizer=sgd(net))
    rates = seen(trainer)
    trainer.on("after_epoch", once=True)(lambda t, state: setattr(state, "n_epochs", 3))
    trainer.fit(batches(4), epochs=2)
    assert len(rates) == 12
    assert rates[-1] == pytest.approx(0.5 / 25 / 1e4)
    assert rates.count(rates[-1]) == 1


def test_loader_longer_than_its_len_does_not_break_the_cycle():
    class Liar(list):
        def __len__(self):
            return 2

    net = model()
    trainer = trainer_of(OneCycle(0.5), net=net, optimizer=sgd(net))
    rates = seen(trainer)
    with pytest.warns(UserWarning, match=r"train_loader \(Liar\) tells 2 batches, and gave 4"):
        trainer.fit(Liar(batches(4)), epochs=2)
    assert rates[1:4] == [rates[1]] * 3
    assert rates[-1] == pytest.approx(0.5 / 25 / 1e4)


def test_validation_within_an_epoch_does_not_move_the_cycle():
    _, plain = fitted(OneCycle(0.5))
    trainer = trainer_of(OneCycle(0.5), net=(net := model()), optimizer=sgd(net))
    rates = seen(trainer)
    trainer.on("after_step", every=2)(lambda t, state: setattr(state, "validate_next", True))
    trainer.fit(batches(5), batches(9), epochs=4)
    assert rates == plain


def test_loader_without_length_raises_with_advice():
    trainer = trainer_of(OneCycle())
    with pytest.raises(
        ValueError, match=r"OneCycle needs .*\(generator\) has no length; pass batc"
    ):
        trainer.fit(batch for batch in batches())
    assert trainer.state.phase == "failed"


def test_endless_loader_with_a_limit_works():
    trainer = trainer_of(OneCycle(0.5, warmup=0.5), net=(net := model()), optimizer=sgd(net))
    rates = seen(trainer)
    trainer.fit(iter(batches(9)), epochs=2, batches_per_epoch=4)
    assert rates.index(max(rates)) == 3


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_options_are_restored_and_second_fit_repeats_the_first(optimizer):
    net = model()
    optim = optimizer(net)
    before, lr_object = options(optim), optim.param_groups[0]["lr"]
    trainer = trainer_of(OneCycle(0.5), net=net, optimizer=optim)
    rates = []
    trainer.on("begin_step")(lambda t, state: rates.append(copy.deepcopy(state.lr)))
    trainer.fit(batches(3), batches(2), epochs=2)
    assert options(optim) == before
    assert optim.param_groups[0]["lr"] is lr_object
    trainer.validate(batches(2))
    trainer.fit(batches(3), batches(2), epochs=2)
    assert rates[:6] == rates[6:]
    assert options(optim) == before


def test_detach_during_fit_restores_everything():
    cycle, net = OneCycle(0.5), model()
    trainer = trainer_of(cycle, net=net, optimizer=(optim := sgd(net)))
    before = options(optim)
    trainer.on("begin_batch", when=lambda t, state: state.batch_index == 1)(
        lambda t, state: t.detach(cycle)
    )
    rates = seen(trainer)
    trainer.fit(batches(3))
    assert rates[1:] == [0.1, 0.1]
    assert options(optim) == before
    assert cycle.scheduler is None


def test_attach_during_fit_takes_effect_in_the_next_fit():
    net = model()
    trainer = trainer_of(net=net, optimizer=sgd(net))
    trainer.on("begin_batch", once=True)(lambda t, state: t.attach(OneCycle(0.5)))
    rates = seen(trainer)
    trainer.fit(batches(3))
    assert rates == [0.1] * 3
    trainer.fit(batches(3))
    assert max(rates[3:]) > 0.3


def test_works_on_a_hand_made_state():
    net = model()
    state = state_of(model=net, optimizer=sgd(net), n_epochs=1, train_loader=batches(4))
    cycle = OneCycle(0.5, warmup=0.5, start_divisor=5)
    fit = cycle.within_fit(None, state)
    next(fit)
    state.epoch, state.training, state.batch_index = 0, True, 0
    state.phase = "fit.epoch.train.batch.forward"
    cycle.begin_batch(None, state)
    assert state.lr == pytest.approx(0.1)
    state.batch_index = 1
    cycle.begin_batch(None, state)
    cycle.begin_batch(None, state)
    assert state.lr == pytest.approx(0.5)
    assert next(fit, "ended") == "ended"
    assert state.lr == 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_lr": 0},
        {"max_lr": [0.1, -1]},
        {"warmup": 0},
        {"warmup": 1},
        {"warmup": float("nan")},
        {"start_divisor": 0},
        {"end_divisor": -1},
        {"momentum": (0.9, 0.8)},
        {"momentum": (0.9, 1.0)},
    ],
)
def test_invalid_argument_is_named_in_the_error(wrong):
    with pytest.raises(ValueError, match=rf"OneCycle\({next(iter(wrong))}="):
        OneCycle(**wrong)


def test_no_device_sync():
    net = model().to("meta")
    trainer = trainer_of(OneCycle(0.5), net=net, optimizer=adamw(net), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
@early_or_late
def test_any_cancel_restores_everything_for_the_next_fit(signal, scope, early):
    trainer = cancelled_fit(OneCycle(0.5), signal, scope, early)
    assert options(trainer.state.optimizer) == options(trainer_of().state.optimizer)
    rates = seen(trainer)
    trainer.fit(batches(3), epochs=2)
    assert rates == expected_rates()


@functools.cache
def expected_rates():
    return fitted(OneCycle(0.5), count=3, epochs=2)[1]

import math

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    every_cancel,
    model,
    state_of,
    trainer_of,
    weights,
)
from optimizers import adamw, by_hand, fitted, in_groups, options, seen, sgd, with_tensor
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    SequentialLR,
)

from trackside.events import AttachError, CancelBatchException
from trackside.handlers.control.limit_batches import LimitBatches
from trackside.handlers.control.skip_epochs import SkipEpochs
from trackside.handlers.control.step_limit import StepLimit
from trackside.handlers.optimization.gradient_accumulation import GradientAccumulation
from trackside.handlers.schedules.annealing import Annealing, cosine, exponential, linear, piecewise


def warmed_up(optimizer):
    return SequentialLR(
        optimizer, [LinearLR(optimizer, 0.1, total_iters=5), CosineAnnealingLR(optimizer, 15)], [5]
    )


@pytest.mark.parametrize(
    ("curve", "make"),
    [
        (cosine(0.1, 0.0), lambda o: CosineAnnealingLR(o, 20)),
        (cosine(0.1, 0.02), lambda o: CosineAnnealingLR(o, 20, 0.02)),
        (linear(0.05, 0.1), lambda o: LinearLR(o, 0.5, total_iters=20)),
        (exponential(0.1, 0.001), lambda o: ExponentialLR(o, 0.01 ** (1 / 20))),
        (lambda progress: 0.1 / (1 + progress), lambda o: LambdaLR(o, lambda n: 1 / (1 + n / 20))),
        (piecewise((0.25, linear(0.01, 0.1)), (0.75, cosine(0.1, 0.0))), warmed_up),
    ],
    ids=["cosine", "cosine_to_a_least", "linear", "exponential", "any", "piecewise"],
)
def test_rates_equal_those_of_the_torch_scheduler(curve, make):
    trainer, rates = fitted(Annealing("lr", curve))
    by_torch, expected = by_hand(make)
    assert rates == pytest.approx(expected, rel=1e-9)
    for ours, theirs in zip(weights(trainer), by_torch, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "option", "curve", "expected"),
    [
        (sgd, "momentum", linear(0.9, 0.5), [0.9, 0.8, 0.7, 0.6]),
        (adamw, "weight_decay", linear(0.4, 0), [0.4, 0.3, 0.2, 0.1]),
        (adamw, "betas", lambda p: (0.9, 1 - p / 10), [(0.9, 1 - p / 40) for p in range(4)]),
        (sgd, "nesterov", lambda progress: progress >= 0.5, [False, False, True, True]),
    ],
)
def test_any_option_of_any_optimizer_is_annealed(optimizer, option, curve, expected):
    net = model()
    optim = optimizer(net)
    before = options(optim)
    trainer = trainer_of(Annealing(option, curve), net=net, optimizer=optim)
    used = seen(trainer, option)
    trainer.fit(batches(2), epochs=2)
    if option == "betas":
        used, expected = torch.tensor(used), torch.tensor(expected)
    assert used == pytest.approx(expected)
    assert options(optim) == before


def test_only_the_selected_group_is_annealed():
    net = model()
    trainer = trainer_of(Annealing("lr", linear(1, 0), group=2), net=net, optimizer=in_groups(net))
    others, third = seen(trainer, group=1), seen(trainer, group=2)
    trainer.fit(batches(4))
    assert others == [0.2] * 4
    assert third == [1, 0.75, 0.5, 0.25]


def test_several_annealings_are_independent():
    net = model()
    optim = in_groups(net)
    before = options(optim)
    trainer = trainer_of(
        Annealing("lr", linear(1, 0), group=0),
        Annealing("lr", linear(2, 0), group=1),
        Annealing("weight_decay", linear(0, 4)),
        net=net,
        optimizer=optim,
    )
    first, second = seen(trainer, group=0), seen(trainer, group=1)
    decay = seen(trainer, "weight_decay", group=3)
    trainer.fit(batches(4))
    assert first == [1, 0.75, 0.5, 0.25]
    assert second == [2, 1.5, 1, 0.5]
    assert decay == [0, 1, 2, 3]
    assert options(optim) == before


def test_tensor_rate_is_changed_in_place():
    net = model()
    optim = with_tensor(net)
    lr_object = optim.param_groups[0]["lr"]
    trainer = trainer_of(Annealing("lr", linear(1, 0)), net=net, optimizer=optim)
    used = []
    trainer.on("begin_step")(lambda t, state: used.append(state.lr.item()))
    trainer.fit(batches(4))
    assert used == [1, 0.75, 0.5, 0.25]
    assert optim.param_groups[0]["lr"] is lr_object
    assert lr_object == 0.1


def test_cancelled_batch_does_not_delay_the_schedule():
    trainer = trainer_of(Annealing("lr", linear(1, 0)))
    rates = seen(trainer)

    @trainer.on("after_loss", when=lambda t, state: state.batch_index == 1)
    def cancel(trainer, state):
        raise CancelBatchException

    trainer.fit(batches(4))
    assert rates == [1, 0.5, 0.25]


def test_skipped_epochs_count_as_passed():
    trainer = trainer_of(SkipEpochs(1), Annealing("lr", linear(1, 0)))
    rates = seen(trainer)
    trainer.fit(batches(2), epochs=2)
    assert rates == [0.5, 0.25]


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (GradientAccumulation(2), [1, 1, 0.5, 0.5]),
        (GradientAccumulation(3), [1, 1, 1, 0.5]),
        (LimitBatches(train=2), [1, 0.5]),
        (StepLimit(2), [1, 0.5]),
    ],
    ids=["accumulated", "incomplete_window", "limited", "steps"],
)
def test_progress_is_the_share_of_planned_steps(handler, expected):
    trainer = trainer_of(Annealing("lr", linear(1, 0)), handler)
    rates = seen(trainer, signal="begin_backward")
    trainer.fit(batches(4))
    assert rates == expected


def test_changed_n_epochs_takes_effect_at_once():
    trainer = trainer_of(Annealing("lr", linear(1, 0)))
    rates = seen(trainer)
    trainer.on("after_epoch", once=True)(lambda t, state: setattr(state, "n_epochs", 2))
    trainer.fit(batches(2), epochs=4)
    assert rates == [1, 0.875, 0.5, 0.25]


def test_validation_does_not_move_the_schedule():
    trainer = trainer_of(Annealing("lr", linear(1, 0)))
    rates = seen(trainer, signal="begin_batch")
    trainer.fit(batches(2), batches(3), epochs=2)
    assert rates == [1, 0.75, 0.75, 0.75, 0.75, 0.5, 0.25, 0.25, 0.25, 0.25]


def test_second_fit_repeats_the_first():
    trainer = trainer_of(Annealing("lr", linear(1, 0)))
    rates = seen(trainer)
    trainer.fit(batches(2), epochs=2)
    trainer.validate(batches(2))
    assert trainer.state.lr == 0.1
    trainer.fit(batches(2), epochs=2)
    assert rates == [1, 0.75, 0.5, 0.25] * 2


def test_detach_during_fit_restores_only_its_own_option():
    annealing = Annealing("weight_decay", linear(1, 0))
    trainer = trainer_of(Annealing("lr", linear(1, 0)), annealing)
    trainer.on("after_batch", once=True)(lambda t, state: t.detach(annealing))
    rates = seen(trainer, signal="begin_batch")
    decays = seen(trainer, "weight_decay")
    trainer.fit(batches(4))
    assert decays == [1, 0, 0, 0]
    assert rates == [1, 0.75, 0.5, 0.25]


def test_attach_during_fit_takes_effect_in_the_next_fit():
    trainer = trainer_of()
    trainer.on("begin_batch", once=True)(lambda t, state: t.attach(Annealing("lr", linear(1, 0))))
    rates = seen(trainer)
    for _ in range(2):
        trainer.fit(batches(2))
    assert rates == [0.1, 0.1, 1, 0.5]


def test_works_on_a_hand_made_state():
    net = model()
    state = state_of(model=net, optimizer=sgd(net), n_epochs=2, train_loader=batches(4))
    annealing = Annealing("lr", linear(1, 0))
    fit = annealing.within_fit(None, state)
    next(fit)
    state.epoch, state.training, state.batch_index = 1, True, 2
    state.phase = "fit.epoch.train.batch.forward"
    annealing.begin_batch(None, state)
    assert state.lr == 0.25
    state.training, state.batch_index = False, 3
    annealing.begin_batch(None, state)
    assert state.lr == 0.25
    assert next(fit, "ended") == "ended"
    assert state.lr == 0.1


def test_progress_stays_between_0_and_1():
    class Liar(list):
        def __len__(self):
            return 1

    progress = []
    trainer = trainer_of(Annealing("lr", lambda p: progress.append(p) or 0.1), StepLimit(2))
    trainer.on("begin_step", when=lambda t, state: state.epoch < 2)(cancel_batch)
    with pytest.warns(UserWarning, match="tells 1 batches, and gave 3"):
        trainer.fit(Liar(batches(3)), epochs=9)
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, 0.5)


def cancel_batch(trainer, state):
    raise CancelBatchException


@pytest.mark.parametrize("curve", [linear, cosine, exponential])
def test_curve_runs_from_start_to_end(curve):
    scaled = curve(2.0, 8.0)
    assert scaled(0) == pytest.approx(2)
    assert scaled(1) == pytest.approx(8)
    middle = {linear: 5, cosine: 5, exponential: 4}[curve]
    assert scaled(0.5) == pytest.approx(middle)


def test_piecewise_runs_each_piece_from_start_to_end():
    curve = piecewise((0.5, linear(0, 1)), (0.25, linear(10, 20)), (0.25, linear(5, 7)))
    assert [curve(n / 8) for n in range(9)] == [0, 0.25, 0.5, 0.75, 10, 15, 5, 6, 7]


def test_piecewise_can_be_nested():
    inner = piecewise((0.5, linear(0, 1)), (0.5, linear(1, 0)))
    curve = piecewise((0.5, inner), (0.5, linear(3, 4)))
    assert [curve(n / 8) for n in range(9)] == [0, 0.5, 1, 0.5, 3, 3.25, 3.5, 3.75, 4]


@pytest.mark.parametrize("shares", [(), (1.1,), (0.5, 0.4), (0, 1), (-1, 2), (math.nan, 1)])
def test_shares_that_do_not_sum_to_one_raise(shares):
    with pytest.raises(ValueError, match=r"piecewise with shares .*allowed: above 0, with the sum"):
        piecewise(*((share, linear(0, 1)) for share in shares))


def test_ten_shares_of_a_tenth_are_accepted():
    curve = piecewise(*((0.1, linear(n, n + 1)) for n in range(10)))
    assert curve(1.0) == pytest.approx(10)
    assert curve(0.55) == pytest.approx(5.5)


@pytest.mark.parametrize("ends", [(0, 1), (1, 0), (-1, -2), (math.nan, 1)])
def test_exponential_through_zero_raises(ends):
    with pytest.raises(ValueError, match="allowed: numbers above 0"):
        exponential(*ends)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((linear(0, 1), "lr"), TypeError, "expected the name of an option and a function"),
        (("lr", 0.1), TypeError, "expected the name of an option and a function"),
        (("params", linear(0, 1)), ValueError, "not an option"),
        (("lr", linear(0, 1), -1), ValueError, r"group=-1\): allowed: an int, from 0"),
        (("lr", linear(0, 1), "all"), TypeError, "allowed: an int, from 0"),
        (("lr", linear(0, 1), True), TypeError, "allowed: an int, from 0"),
    ],
)
def test_invalid_argument_raises(arguments, error, message):
    with pytest.raises(error, match=message):
        Annealing(*arguments)


def test_missing_option_raises_at_attach():
    with pytest.raises(AttachError, match=r"'betas'\): SGD has no such option; it has: lr, mom"):
        trainer_of(Annealing("betas", linear(0, 1)))


def test_option_missing_in_a_new_optimizer_raises_before_first_batch():
    trainer = trainer_of(Annealing("momentum", linear(0, 1)))
    trainer.state.optimizer = adamw(trainer.state.model)
    with pytest.raises(ValueError, match=r"'momentum'\): AdamW has no such option"):
        trainer.fit(batches())
    assert trainer.state.samples == 0


def test_missing_group_raises_before_first_batch():
    trainer = trainer_of(Annealing("lr", linear(0, 1), group=1))
    with pytest.raises(ValueError, match=r"group=1\): the optimizer has 1 parameter groups"):
        trainer.fit(batches())
    assert trainer.state.samples == 0


def test_loader_without_length_raises_with_advice():
    trainer = trainer_of(Annealing("lr", linear(0, 1)))
    with pytest.raises(ValueError, match=r"Annealing needs .* pass batches_per_epoch="):
        trainer.fit(batch for batch in batches())


def test_attaches_to_a_trainer_without_optimizer():
    trainer = trainer_of()
    trainer.state.optimizer = None
    trainer.attach(Annealing("lr", linear(0, 1)))
    assert trainer.validate(batches()) == {}


def test_no_device_sync():
    trainer = trainer_of(Annealing("lr", linear(1, 0)), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
@early_or_late
def test_any_cancel_restores_everything_for_the_next_fit(signal, scope, early):
    trainer = cancelled_fit(Annealing("lr", linear(1, 0)), signal, scope, early)
    assert options(trainer.state.optimizer) == options(trainer_of().state.optimizer)
    rates = seen(trainer)
    trainer.fit(batches(4))
    assert rates == [1, 0.75, 0.5, 0.25]

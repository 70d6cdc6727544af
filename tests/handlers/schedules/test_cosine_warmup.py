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
from optimizers import OPTIMIZERS, by_hand, fitted, in_groups, options, seen, sgd
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from trackside.handlers.control.skip_epochs import SkipEpochs
from trackside.handlers.optimization.gradient_accumulation import GradientAccumulation
from trackside.handlers.schedules.cosine_warmup import CosineWarmup


def by_torch(steps, total, start=0.01, end=0.0):
    def make(optimizer):
        rising = LinearLR(optimizer, start, total_iters=steps)
        cosine = CosineAnnealingLR(optimizer, total - steps, end)
        return SequentialLR(optimizer, [rising, cosine], [steps])

    return make


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_equals_a_manual_loop_with_torch_schedulers(optimizer):
    trainer, _ = fitted(CosineWarmup(0.25), optimizer=optimizer)
    expected, _ = by_hand(by_torch(5, 20), optimizer)
    assert equal(weights(trainer), expected)


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ({"warmup": 0.25}, 5),
        ({"warmup": 0.5, "start_factor": 0.5, "min_lr": 0.01}, 10),
        ({"warmup": 0.03}, 1),
        ({"warmup": 0.99}, 19),
    ],
)
def test_rates_equal_those_of_torch(arguments, steps):
    _, rates = fitted(CosineWarmup(**arguments))
    make = by_torch(steps, 20, arguments.get("start_factor", 0.01), arguments.get("min_lr", 0.0))
    assert rates == by_hand(make)[1]


def test_rate_rises_to_the_optimizers_rate_then_falls():
    _, rates = fitted(CosineWarmup(0.25))
    assert rates[0] == pytest.approx(0.001)
    assert rates[:6] == sorted(rates[:6])
    assert rates[5] == max(rates) == pytest.approx(0.1)
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_without_warmup_only_the_cosine_remains():
    _, rates = fitted(CosineWarmup(warmup=0))
    assert rates == by_hand(lambda optimizer: CosineAnnealingLR(optimizer, 20))[1]


def test_groups_keep_the_ratio_of_their_rates():
    net = model()
    trainer = trainer_of(CosineWarmup(0.5), net=net, optimizer=in_groups(net))
    first, last = seen(trainer, group=0), seen(trainer, group=3)
    trainer.fit(batches(10))
    assert last == pytest.approx([4 * rate for rate in first])


def test_warmup_counts_optimizer_steps():
    trainer, rates = fitted(CosineWarmup(0.5), GradientAccumulation(2), count=4, epochs=2)
    assert trainer.state.step == 4
    assert rates == by_hand(by_torch(2, 4), count=4, epochs=1)[1]


def test_skipped_epochs_count_as_passed():
    _, plain = fitted(CosineWarmup(0.25))
    _, rates = fitted(SkipEpochs(1), CosineWarmup(0.25))
    assert rates == plain[5:]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fit_of_few_steps_has_a_schedule(count):
    _, rates = fitted(CosineWarmup(0.5), count=count, epochs=1)
    assert len(rates) == count
    assert all(0 < rate <= 0.1 for rate in rates)


def test_second_fit_repeats_the_first():
    trainer, rates = fitted(CosineWarmup(0.25), valid=batches(2))
    trainer.validate(batches(2))
    assert options(trainer.state.optimizer) == options(sgd(model()))
    trainer.fit(batches(5), epochs=4)
    assert rates[:20] == rates[20:]


def test_detach_during_fit_restores_the_rate():
    schedule, net = CosineWarmup(0.5), model()
    trainer = trainer_of(schedule, net=net, optimizer=(optim := sgd(net)))
    before = options(optim)
    trainer.on("after_batch", once=True)(lambda t, state: t.detach(schedule))
    rates = seen(trainer)
    trainer.fit(batches(4))
    assert rates[1:] == [0.1] * 3
    assert options(optim) == before


def test_attach_during_fit_takes_effect_in_the_next_fit():
    trainer = trainer_of()
    trainer.on("begin_batch", once=True)(lambda t, state: t.attach(CosineWarmup(start_factor=1)))
    rates = seen(trainer)
    for _ in range(2):
        trainer.fit(batches(8))
    assert rates[:8] == [0.1] * 8
    assert rates[-1] < 0.1


def test_works_on_a_hand_made_state():
    net = model()
    state = state_of(model=net, optimizer=sgd(net), n_epochs=1, train_loader=batches(4))
    schedule = CosineWarmup(0.5, start_factor=0.5)
    fit = schedule.within_fit(None, state)
    next(fit)
    assert state.lr == 0.05
    state.epoch, state.training, state.batch_index = 0, True, 2
    state.phase = "fit.epoch.train.batch.forward"
    schedule.begin_batch(None, state)
    assert state.lr == pytest.approx(0.1)
    assert next(fit, "ended") == "ended"
    assert state.lr == 0.1


@pytest.mark.parametrize(
    "wrong",
    [{"warmup": -0.1}, {"warmup": 1}, {"start_factor": 0}, {"start_factor": 2}, {"min_lr": -1}],
)
def test_invalid_argument_is_named_in_the_error(wrong):
    with pytest.raises(ValueError, match=rf"CosineWarmup\({next(iter(wrong))}="):
        CosineWarmup(**wrong)


def test_loader_without_length_raises_with_advice():
    with pytest.raises(ValueError, match=r"CosineWarmup needs .* pass batches_per_epoch="):
        trainer_of(CosineWarmup()).fit(batch for batch in batches())


def test_no_device_sync():
    trainer = trainer_of(CosineWarmup(), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
def test_any_cancel_restores_everything(signal, scope):
    schedule = CosineWarmup(0.5)
    trainer = cancelled_fit(schedule, signal, scope, early=False)
    assert options(trainer.state.optimizer) == options(trainer_of().state.optimizer)
    assert schedule.scheduler is None

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
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, SequentialLR

from trackside.handlers.control.skip_epochs import SkipEpochs
from trackside.handlers.schedules.flat_cosine import FlatCosine


def by_torch(steps, total, end=0.0):
    def make(optimizer):
        flat = ConstantLR(optimizer, factor=1.0, total_iters=steps)
        cosine = CosineAnnealingLR(optimizer, total - steps, end)
        return SequentialLR(optimizer, [flat, cosine], [steps])

    return make


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_equals_a_manual_loop_with_torch_schedulers(optimizer):
    trainer, _ = fitted(FlatCosine(), optimizer=optimizer)
    expected, _ = by_hand(by_torch(15, 20), optimizer)
    assert equal(weights(trainer), expected)


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [({}, 15), ({"flat": 0.5, "min_lr": 0.01}, 10), ({"flat": 0.03}, 1), ({"flat": 0.99}, 19)],
)
def test_rates_equal_those_of_torch(arguments, steps):
    _, rates = fitted(FlatCosine(**arguments))
    assert rates == by_hand(by_torch(steps, 20, arguments.get("min_lr", 0.0)))[1]


def test_rate_stays_flat_then_falls():
    _, rates = fitted(FlatCosine())
    assert rates[:16] == [0.1] * 16
    assert rates[15:] == sorted(rates[15:], reverse=True)
    assert 0 < rates[-1] < 0.02


def test_without_flat_part_only_the_cosine_remains():
    _, rates = fitted(FlatCosine(flat=0))
    assert rates == by_hand(lambda optimizer: CosineAnnealingLR(optimizer, 20))[1]


def test_groups_keep_the_ratio_of_their_rates():
    net = model()
    trainer = trainer_of(FlatCosine(0.5), net=net, optimizer=in_groups(net))
    first, last = seen(trainer, group=0), seen(trainer, group=3)
    trainer.fit(batches(10))
    assert last == pytest.approx([4 * rate for rate in first])


def test_skipped_epochs_count_as_passed():
    _, plain = fitted(FlatCosine())
    _, rates = fitted(SkipEpochs(3), FlatCosine())
    assert rates == plain[15:]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fit_of_few_steps_has_a_schedule(count):
    _, rates = fitted(FlatCosine(), count=count, epochs=1)
    assert len(rates) == count
    assert all(0 < rate <= 0.1 for rate in rates)


def test_second_fit_repeats_the_first():
    trainer, rates = fitted(FlatCosine(), valid=batches(2))
    trainer.validate(batches(2))
    assert options(trainer.state.optimizer) == options(sgd(model()))
    trainer.fit(batches(5), epochs=4)
    assert rates[:20] == rates[20:]


def test_detach_during_fit_restores_the_rate():
    schedule, net = FlatCosine(0), model()
    trainer = trainer_of(schedule, net=net, optimizer=(optim := sgd(net)))
    before = options(optim)
    trainer.on("after_step", when=lambda t, state: state.step == 3)(
        lambda t, state: t.detach(schedule)
    )
    rates = seen(trainer)
    trainer.fit(batches(4))
    assert rates[2] < rates[3] == 0.1
    assert options(optim) == before


def test_attach_during_fit_takes_effect_in_the_next_fit():
    trainer = trainer_of()
    trainer.on("begin_batch", once=True)(lambda t, state: t.attach(FlatCosine()))
    rates = seen(trainer)
    for _ in range(2):
        trainer.fit(batches(8))
    assert rates[:8] == [0.1] * 8
    assert rates[-1] < 0.1


def test_works_on_a_hand_made_state():
    net = model()
    state = state_of(model=net, optimizer=sgd(net), n_epochs=1, train_loader=batches(4))
    schedule = FlatCosine(0.5)
    fit = schedule.within_fit(None, state)
    next(fit)
    state.epoch, state.training, state.batch_index = 0, True, 3
    schedule.begin_batch(None, state)
    assert state.lr == pytest.approx(0.05)
    assert next(fit, "ended") == "ended"
    assert state.lr == 0.1


@pytest.mark.parametrize("wrong", [{"flat": -0.1}, {"flat": 1}, {"min_lr": -1}])
def test_invalid_argument_is_named_in_the_error(wrong):
    with pytest.raises(ValueError, match=rf"FlatCosine\({next(iter(wrong))}="):
        FlatCosine(**wrong)


def test_loader_without_length_raises_with_advice():
    with pytest.raises(ValueError, match=r"FlatCosine needs .* pass batches_per_epoch="):
        trainer_of(FlatCosine()).fit(batch for batch in batches())


def test_no_device_sync():
    trainer = trainer_of(FlatCosine(), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
def test_any_cancel_restores_everything(signal, scope):
    schedule = FlatCosine(0)
    trainer = cancelled_fit(schedule, signal, scope, early=False)
    assert options(trainer.state.optimizer) == options(trainer_of().state.optimizer)
    assert schedule.scheduler is None

import math

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    furthest,
    model,
    state_of,
    trainer_of,
    weights,
)
from pairs import pair, poison, trainer_of_two, weights_of
from reads import Reads
from torch import nn
from torch.amp import GradScaler

from trackside.events import CancelBatchException, CancelFitException
from trackside.handlers import GradientAccumulation, GradientClip, Metrics, StopOnNaN
from trackside.handlers.control.skip_bad_batch import SkipBadBatch
from trackside.handlers.performance.mixed_precision import MixedPrecision

BY = pytest.mark.parametrize("by", ["loss", "gradients"])


class Poison:
    """Makes the loss, or a gradient, of some training batches NaN or infinite."""

    runs_before = ("SkipBadBatch",)

    def __init__(self, *at, by="loss", value=math.nan):
        self.at = at
        self.by = by
        self.value = value
        self.seen = -1

    def begin_batch(self, trainer, state):
        self.seen += state.training

    def after_loss(self, trainer, state):
        if state.training and self.seen in self.at and self.by == "loss":
            state.loss = state.loss * self.value

    def after_backward(self, trainer, state):
        if self.seen in self.at and self.by == "gradients":
            state.model[0].weight.grad[0, 0] = self.value


def fitted(*handlers, data=None, epochs=1, **options):
    trainer = trainer_of(*handlers, **options)
    trainer.fit(data or batches(4), epochs=epochs)
    return trainer


def without(*at, count=4):
    return [batch for i, batch in enumerate(batches(count)) if i not in at]


@BY
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_bad_batch_has_no_effect_on_training(by, value):
    skip = SkipBadBatch()
    trainer = fitted(Poison(1, by=by, value=value), skip)
    assert equal(weights(trainer), weights(fitted(data=without(1))))
    assert (trainer.state.step, skip.skipped, trainer.state.outcome) == (3, 1, "completed")


@BY
def test_the_batch_is_cancelled_with_the_reason_and_place(by):
    reasons = []
    trainer = trainer_of(Poison(1, by=by), SkipBadBatch())
    trainer.on("after_cancel_batch")(lambda trainer, state: reasons.append(state.cancel.reason))
    trainer.fit(batches(4))
    assert reasons == [f"non-finite {by} in epoch 1, batch 2"]


def test_a_bad_loss_is_not_differentiated():
    ran = []

    class Watch:
        def wrap_backward(self, backward):
            return lambda state: ran.append(state.batch_index) or backward(state)

    fitted(Poison(1), SkipBadBatch(), Watch())
    assert ran == [0, 2, 3]


def test_bad_gradients_are_removed():
    left = []
    trainer = trainer_of(Poison(1, by="gradients"), SkipBadBatch())

    @trainer.on("after_cancel_batch")
    def look(trainer, state):
        left.extend(p.grad for p in state.model.parameters())

    trainer.fit(batches(2))
    assert left == [None] * 4


@BY
def test_metrics_do_not_count_a_bad_batch(by):
    metrics = fitted(Poison(1, by=by), SkipBadBatch(), Metrics()).state.metrics
    assert metrics == fitted(Metrics(), data=without(1)).state.metrics


def normed(seed=0):
    net = model(seed)
    return nn.Sequential(net[0], nn.BatchNorm1d(8), net[1], net[2])


def test_batch_norm_statistics_are_restored_after_a_nan_batch():
    data = batches(4)
    data[1][0][0, 0] = math.nan
    trainer = fitted(SkipBadBatch(), data=data, net=normed())
    expected = fitted(data=without(1), net=normed())
    assert equal(weights(trainer), weights(expected))
    assert equal(trainer.state.model.buffers(), expected.state.model.buffers())


def test_a_lazy_norm_whose_first_batch_is_bad_begins_with_the_next_one():
    def lazy():
        net = model()
        return nn.Sequential(net[0], nn.LazyBatchNorm1d(affine=False), net[1], net[2])

    data = batches(3)
    data[0][0][0, 0] = math.nan
    trainer = fitted(SkipBadBatch(), data=data, net=lazy())
    expected = fitted(data=without(0, count=3), net=lazy())
    assert equal(weights(trainer), weights(expected))
    assert equal(trainer.state.model.buffers(), expected.state.model.buffers())


def test_without_the_handler_the_statistics_become_nan():
    data = batches(4)
    data[1][0][0, 0] = math.nan
    assert not all(
        b.isfinite().all() for b in fitted(data=data, net=normed()).state.model.buffers()
    )


@BY
def test_too_many_in_a_row_cancel_the_fit_with_finite_weights(by):
    skip = SkipBadBatch(in_a_row=2)
    trainer = fitted(Poison(1, 2, 3, by=by), skip, data=batches(6))
    assert (trainer.state.phase, trainer.state.batch_index, skip.skipped) == ("cancelled", 3, 2)
    assert trainer.state.cancel.reason == (
        f"non-finite {by} in epoch 1, batch 4; bad batches in a row: 3, allowed: 2"
    )
    assert equal(weights(trainer), weights(fitted(data=batches(1))))
    assert all(p.grad is None for p in trainer.state.model.parameters())


@BY
def test_a_good_batch_resets_the_count_in_a_row(by):
    trainer = fitted(Poison(0, 1, 3, 4, by=by), SkipBadBatch(in_a_row=2), data=batches(6))
    assert (trainer.state.phase, trainer.state.step) == ("completed", 2)


@BY
def test_the_count_in_a_row_continues_across_epochs(by):
    trainer = fitted(Poison(3, 4, by=by), SkipBadBatch(in_a_row=1), epochs=2)
    assert (trainer.state.phase, trainer.state.epoch) == ("cancelled", 1)


def test_good_losses_do_not_reset_the_count_of_bad_gradients():
    trainer = trainer_of(GradientAccumulation(2), SkipBadBatch(in_a_row=2))
    trainer.attach(Poison(1, 3, 5, 7, by="gradients"))
    trainer.fit(batches(10))
    assert (trainer.state.phase, trainer.state.batch_index) == ("cancelled", 5)


@BY
def test_too_many_in_one_fit_cancel_the_fit(by):
    skip = SkipBadBatch(in_all=2)
    trainer = fitted(Poison(0, 2, 4, by=by), skip, data=batches(6))
    assert (trainer.state.phase, trainer.state.batch_index) == ("cancelled", 4)
    assert trainer.state.cancel.reason.endswith("bad batches in this fit: 3, allowed: 2")


@pytest.mark.parametrize("budget", [{"in_a_row": 0}, {"in_all": 0}])
def test_a_limit_of_0_cancels_the_fit_at_the_first_bad_batch(budget):
    trainer = fitted(Poison(1), SkipBadBatch(**budget))
    assert (trainer.state.phase, trainer.state.batch_index) == ("cancelled", 1)


def test_a_second_fit_has_the_full_limits_again():
    skip, poison = SkipBadBatch(in_a_row=1, in_all=1), Poison(3, 4)
    trainer = trainer_of(poison, skip)
    trainer.fit(batches(4))
    trainer.validate([(x * math.nan, y) for x, y in batches(2)])
    trainer.fit(batches(4))
    assert (trainer.state.phase, trainer.state.step, skip.skipped) == ("completed", 3, 1)


def test_a_validation_is_not_checked():
    bad = [(x * math.nan, y) for x, y in batches(2)]
    trainer = trainer_of(SkipBadBatch(in_a_row=0))
    trainer.fit(batches(2), bad)
    assert trainer.state.phase == "completed"
    trainer.validate(bad)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_it_runs_before_gradient_clip_and_stop_on_nan(order):
    handlers = [GradientClip(max_norm=1.0), SkipBadBatch(), StopOnNaN()]
    trainer = fitted(Poison(1, by="gradients"), *[handlers[i] for i in order])
    assert (trainer.state.phase, trainer.state.step) == ("completed", 3)


def test_a_bad_loss_keeps_the_accumulated_gradients():
    trainer = fitted(Poison(0), GradientAccumulation(2), SkipBadBatch(), data=batches(2))
    assert furthest(weights(trainer), weights(fitted(data=without(0, count=2)))) < 1e-6


def test_a_float16_overflow_is_not_a_bad_batch():
    skip = SkipBadBatch(in_a_row=0)
    scaler = GradScaler("cpu", init_scale=2.0**40)
    trainer = fitted(skip, MixedPrecision(torch.float16, scaler), epochs=2)
    assert (trainer.state.phase, trainer.state.step, skip.skipped) == ("completed", 0, 0)


@pytest.mark.parametrize(("window", "expected"), [(1, 12), (3, 8)])
def test_it_syncs_once_a_batch_and_once_an_optimizer_step(window, expected):
    trainer = trainer_of(SkipBadBatch(), GradientAccumulation(window))
    with Reads() as reads:
        trainer.fit(batches(6), batches(3))
    assert reads.count == expected


def test_a_good_fit_is_unchanged_bit_for_bit_and_keeps_no_copies():
    skip = SkipBadBatch()
    trainer = fitted(skip, net=normed(), epochs=2)
    expected = fitted(net=normed(), epochs=2)
    assert equal(weights(trainer), weights(expected))
    assert equal(trainer.state.model.buffers(), expected.state.model.buffers())
    assert skip._buffers == []


def test_works_on_a_hand_made_state():
    skip, net = SkipBadBatch(in_a_row=1), model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    state = state_of(model=net, optimizer=optimizer, loss=torch.tensor(1.0), training=True)
    skip.begin_batch(None, state)
    skip.begin_backward(None, state)
    skip.begin_step(None, state)
    net[0].bias.grad = torch.full_like(net[0].bias, math.inf)
    with pytest.raises(CancelBatchException, match="non-finite gradients"):
        skip.begin_step(None, state)
    assert net[0].bias.grad is None
    state.loss = math.nan
    with pytest.raises(CancelBatchException, match="non-finite loss"):
        skip.begin_backward(None, state)
    with pytest.raises(CancelFitException, match="bad batches in a row: 2, allowed: 1"):
        skip.begin_backward(None, state)


@pytest.mark.parametrize("name", ["in_a_row", "in_all"])
@pytest.mark.parametrize(
    ("number", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_wrong_counts_are_refused(name, number, error):
    with pytest.raises(
        error, match=rf"SkipBadBatch\({name}={number}\): (found a \w+; )?allowed: an int, from 0"
    ):
        SkipBadBatch(**{name: number})


def test_detached_inside_a_batch_it_keeps_nothing():
    skip = SkipBadBatch()
    trainer = trainer_of(skip, net=normed())
    trainer.on("after_pred", once=True)(lambda trainer, state: trainer.detach(skip))
    trainer.fit(batches(4))
    assert equal(weights(trainer), weights(fitted(net=normed())))
    assert skip._buffers == []


@every_cancel
@early_or_late
def test_the_next_fit_is_complete_after_any_cancel(signal, scope, early, undisturbed):
    skip = SkipBadBatch()
    trainer = cancelled_fit(skip, signal, scope, early)
    assert (skip.skipped, skip._buffers) == (0, [])
    trainer.state.model.load_state_dict(model().state_dict())
    trainer.attach(Poison(1))
    trainer.fit(batches(4))
    assert equal(weights(trainer), undisturbed)
    assert skip.skipped == 1


@pytest.fixture(scope="module")
def undisturbed():
    return weights(fitted(data=without(1)))


@pytest.mark.parametrize("of", ["a", "b"])
def test_bad_batches_in_a_row_are_counted_for_each_of_several_optimizers(of):
    skip = SkipBadBatch(in_a_row=1)
    trainer = trainer_of_two(skip)
    poison(trainer, of, 1, 2)
    assert trainer.fit(batches(4)).outcome == "cancelled"
    assert (trainer.state.batch_index, skip.skipped) == (2, 1)
    assert f"non-finite loss of {of} in epoch 1, batch 3" in str(trainer.state.cancel)


@pytest.mark.parametrize(("of", "skipped"), [(None, 1), ("a", 0), ("b", 1)])
def test_of_one_optimizer_only_its_losses_are_checked(of, skipped):
    skip = SkipBadBatch(of=of)
    trainer = trainer_of_two(skip)
    poison(trainer, "b", 1)
    trainer.fit(batches(3))
    assert skip.skipped == skipped
    assert all(w.isfinite().all() for w in weights_of(trainer, "b")) == bool(skipped)


def test_the_buffers_of_all_models_are_restored():
    models = {name: nn.Sequential(nn.BatchNorm1d(5), net) for name, net in pair().items()}
    bad = torch.full((4, 5), math.nan), torch.zeros(4, dtype=torch.int64)
    trainer = trainer_of_two(SkipBadBatch(), models=models)
    trainer.fit([*batches(1), bad])
    assert all(b.isfinite().all() for net in models.values() for b in net.buffers())

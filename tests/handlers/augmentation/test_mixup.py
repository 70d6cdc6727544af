import math
from collections import namedtuple

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
from torch import nn

from trackside.events import AttachError, CancelBatchException
from trackside.handlers import GradientAccumulation, Metrics
from trackside.handlers.augmentation.batch_transform import BatchTransform
from trackside.handlers.augmentation.cutmix import CutMix
from trackside.handlers.augmentation.mixup import MixUp

cross_entropy = nn.functional.cross_entropy


def mixed_by_hand(data, alpha, seed=0, epochs=1):
    """The loop of the paper, with random numbers drawn in the same order."""
    net, generator = model(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in data * epochs:
        both = torch.full((2,), alpha, dtype=torch.float64)
        lam = torch._sample_dirichlet(both, generator=generator)[0].item()
        partners = torch.randperm(len(x), generator=generator)
        pred = net(lam * x + (1 - lam) * x[partners])
        loss = lam * cross_entropy(pred, y) + (1 - lam) * cross_entropy(pred, y[partners])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return list(net.parameters())


def shares(mixup, count=400):
    return [mixup._draw_pairs(2, torch.device("cpu"))[0] for _ in range(count)]


def test_training_equals_the_papers_manual_loop_bitwise():
    trainer = trainer_of(MixUp(0.4, seed=3))
    trainer.fit(batches(), epochs=2)
    assert equal(weights(trainer), mixed_by_hand(batches(), 0.4, seed=3, epochs=2))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_share_is_drawn_from_the_beta_distribution(alpha):
    drawn = torch.tensor(shares(MixUp(alpha), 4000))
    assert drawn.mean() == pytest.approx(0.5, abs=0.03)
    assert drawn.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.01)


@pytest.mark.parametrize("alpha", [1e-8, 1e8])
def test_share_is_finite_for_extreme_alpha(alpha):
    assert all(0 <= share <= 1 for share in shares(MixUp(alpha)))


def test_seed_determines_the_draws():
    assert shares(MixUp(seed=1)) == shares(MixUp(seed=1)) != shares(MixUp(seed=2))


def test_generator_continues_in_the_next_fit():
    mixup, trace = MixUp(), []
    trainer = trainer_of(mixup)
    trainer.on("begin_batch")(lambda t, state: trace.append(mixup.generator.get_state()))
    trainer.fit(batches(2))
    trainer.fit(batches(2))
    assert len({tuple(state.tolist()) for state in trace}) == 4


def test_validation_is_not_changed():
    trainer, plain = trainer_of(MixUp(), Metrics()), trainer_of(Metrics())
    drawn = trainer.handlers[0].generator.get_state()
    assert trainer.validate(batches()) == plain.validate(batches())
    assert torch.equal(trainer.predict(batches()), plain.predict(batches()))
    assert torch.equal(trainer.handlers[0].generator.get_state(), drawn)


def test_validation_within_a_fit_is_not_changed():
    trainer, seen = trainer_of(MixUp()), []
    trainer.on("after_loss", when=lambda t, s: not s.training)(
        lambda t, state: seen.append((state.xb, state.loss, cross_entropy(state.pred, state.yb)))
    )
    data = batches(2, seed=1)
    trainer.fit(batches(), data)
    assert all(xb is x for (xb, _, _), (x, _) in zip(seen, data, strict=True))
    assert all(torch.equal(loss, theirs) for _, loss, theirs in seen)


def test_batch_of_the_loader_is_not_changed():
    data, untouched = batches(), batches()
    trainer_of(MixUp(8.0)).fit(data, epochs=2)
    assert all(
        torch.equal(x, y) for x, y in zip(*(sum(d, ()) for d in (data, untouched)), strict=True)
    )


def test_other_handlers_see_mixed_inputs_and_own_targets():
    trainer, seen = trainer_of(MixUp(8.0)), []
    trainer.on("after_loss")(lambda t, state: seen.append((state.xb, state.yb)))
    (x, y), *_ = data = batches(1)
    trainer.fit(data)
    assert not torch.equal(seen[0][0], x)
    assert seen[0][1] is y


def test_batch_transform_runs_first_in_any_attachment_order():
    shift = BatchTransform(lambda x, y: (x.square(), y))
    ours, theirs = trainer_of(MixUp(8.0), shift), trainer_of(MixUp(8.0))
    ours.fit(batches())
    theirs.fit([(x.square(), y) for x, y in batches()])
    assert equal(weights(ours), weights(theirs))


Views = namedtuple("Views", "left right")


@pytest.mark.parametrize("kind", [tuple, Views._make])
def test_several_inputs_are_mixed_with_the_same_share(kind):
    mixup = MixUp(8.0)
    state = state_of(training=True, xb=kind([torch.eye(4), torch.eye(4) * 2]))
    next(mixup.within_batch(None, state))
    first, second = state.xb
    assert type(state.xb) is type(kind([0, 0]))
    assert torch.allclose(first * 2, second)
    assert not torch.equal(first, torch.eye(4))


def test_targets_in_containers_are_permuted():
    mixup, seen = MixUp(8.0), []

    def loss_fn(pred, target):
        seen.append(target)
        return pred.sum() * 0 + target["a"][0].sum()

    trainer = trainer_of(mixup, loss_fn=loss_fn)
    trainer.fit([(torch.arange(20.0).reshape(4, 5), {"a": [torch.arange(4)]})])
    own, partners = (target["a"][0] for target in seen)
    assert own.tolist() == [0, 1, 2, 3]
    assert sorted(partners.tolist()) == [0, 1, 2, 3]


def test_input_dtype_is_kept():
    state = state_of(training=True, xb=torch.ones(2, 3, dtype=torch.bfloat16))
    next(MixUp().within_batch(None, state))
    assert state.xb.dtype is torch.bfloat16


def test_works_with_gradient_accumulation():
    trainer = trainer_of(MixUp(), GradientAccumulation(2))
    trainer.fit(batches(4))
    assert trainer.state.step == 2


def test_loss_is_none_if_the_partners_loss_fails():
    mixup = MixUp()
    calls = []

    def loss_fn(pred, target):
        calls.append(target)
        if len(calls) == 2:
            raise CancelBatchException
        return cross_entropy(pred, target)

    trainer, seen = trainer_of(mixup, loss_fn=loss_fn), []
    trainer.on("after_batch")(lambda t, state: seen.append((state.loss, state.yb)))
    data = batches(2)
    trainer.fit(data)
    assert seen[0] == (None, data[0][1])
    assert seen[1][0] is not None


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        (torch.ones(2, 5, dtype=torch.int64), "torch.int64"),
        ({"x": torch.ones(2, 5)}, "a dict"),
        ((torch.ones(2, 5), "text"), "a str"),
        ([torch.ones(3, 5, 5), torch.ones(3, 7, 7)], "a list"),
    ],
)
def test_inputs_that_cannot_be_mixed_raise(inputs, what):
    with pytest.raises(TypeError, match=f"MixUp cannot mix {what}; expected a floating-point"):
        next(MixUp().within_batch(None, state_of(training=True, xb=inputs)))


@pytest.mark.filterwarnings("ignore:it is not certain")
def test_inputs_in_time_major_are_refused_and_not_mixed_over_time():
    trainer = trainer_of(MixUp(), net=nn.RNN(3, 2), loss_fn=lambda pred, y: pred[0].sum())
    with pytest.raises(TypeError, match=r"MixUp cannot mix an input \(7, 4, 3\) in a batch of 4"):
        trainer.fit([(torch.ones(7, 4, 3), torch.ones(4))])


@pytest.mark.parametrize("batch", [torch.ones(2, 5), (torch.ones(2, 5), ["a", "b"])])
def test_targets_that_cannot_be_permuted_raise(batch):
    trainer = trainer_of(MixUp(), loss_fn=lambda pred, *target: pred.sum())
    with pytest.raises(TypeError, match="MixUp cannot pair targets of type"):
        trainer.fit([batch])


def test_missing_loss_fn_raises_at_attach():
    trainer = trainer_of()
    trainer.state.loss_fn = None
    with pytest.raises(AttachError, match="MixUp needs a loss_fn"):
        trainer.attach(MixUp())


def test_removed_loss_fn_raises_at_begin_fit():
    trainer = trainer_of(MixUp())
    trainer.state.loss_fn = None
    with pytest.raises(AttachError, match="MixUp needs a loss_fn"):
        trainer.fit(batches())


@pytest.mark.parametrize("other", [MixUp, CutMix])
def test_two_mixing_handlers_raise(other):
    trainer = trainer_of(other())
    with pytest.raises(AttachError, match=f"MixUp cannot be attached beside {other.__name__}"):
        trainer.attach(MixUp())
    trainer.detach(trainer.handlers[0])
    trainer.attach(MixUp())


@pytest.mark.parametrize("alpha", [0, -1, math.inf, math.nan])
def test_alpha_out_of_range_raises(alpha):
    with pytest.raises(ValueError, match=r"MixUp\(alpha=.*allowed: a finite number above 0"):
        MixUp(alpha)


@pytest.mark.parametrize("seed", [None, 1.5, True])
def test_seed_that_is_not_an_int_raises(seed):
    with pytest.raises(TypeError, match=r"MixUp\(seed=.*allowed: an int"):
        MixUp(seed=seed)


def test_no_device_sync():
    trainer = trainer_of(MixUp(), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


def test_global_generator_is_not_used():
    trainer = trainer_of(MixUp())
    before = torch.get_rng_state()
    trainer.fit(batches(), batches(1), epochs=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_detach_during_fit_stops_mixing():
    mixup = MixUp()
    trainer, plain = trainer_of(mixup), trainer_of()
    trainer.on("begin_train")(lambda t, state: t.detach(mixup))
    for one in (trainer, plain):
        one.fit(batches())
    assert equal(weights(trainer), weights(plain))


@pytest.mark.parametrize("signal", ["begin_batch", "after_pred", "after_loss", "begin_step"])
def test_attach_or_detach_inside_a_batch_does_not_fail(signal):
    mixup = MixUp()
    trainer, stale = trainer_of(), []

    @trainer.on(signal)
    def turn(trainer, state):
        (trainer.detach if mixup in trainer.handlers else trainer.attach)(mixup)
        stale.append(mixup._mixed)

    trainer.fit(batches(6))
    assert trainer.state.step == 6
    assert stale == [None] * 6


@every_cancel
@early_or_late
def test_any_cancel_ends_mixing(signal, scope, early):
    mixup = MixUp()
    cancelled_fit(mixup, signal, scope, early)
    assert mixup._mixed is None

"""The loss of a batch whose examples have weights."""

import functools

import pytest
import torch
from helpers import batches, equal, model, state_of, trainer_of, weights
from torch import nn
from torch.nn import functional as F

from trackside.engine.batches.weighted_loss import weighted_loss
from trackside.events import TrainState
from trackside.handlers import LabelSmoothing, Metrics, MixUp

WEIGHT = torch.tensor([0.0, 1.0, 2.0, 0.5])


def weighted(batch):
    """`(x, y, weight)`, as a loader may yield it."""
    return batch[0], batch[1], batch[2]


def fit(loss_fn, *handlers, loader=None, **options):
    loader = loader or [(*batch, WEIGHT) for batch in batches()]
    trainer = trainer_of(*handlers, loss_fn=loss_fn, batch=weighted, **options)
    trainer.fit(loader, loader)
    return trainer


def by_hand(mean):
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in batches():
        mean(F.cross_entropy(net(x), y, reduction="none") * WEIGHT).backward()
        optimizer.step()
        optimizer.zero_grad()
    return list(net.parameters())


def own(pred, y, weight):
    return (F.cross_entropy(pred, y, reduction="none") * weight).mean()


@pytest.mark.parametrize(
    ("loss_fn", "mean"),
    [
        (nn.CrossEntropyLoss(), torch.mean),
        (nn.CrossEntropyLoss(reduction="sum"), torch.sum),
        (F.cross_entropy, torch.mean),
        (functools.partial(F.cross_entropy, reduction="sum"), torch.sum),
        (own, torch.mean),
    ],
)
def test_the_loss_is_the_mean_of_weight_times_loss(loss_fn, mean):
    assert equal(weights(fit(loss_fn)), by_hand(mean))
    assert getattr(loss_fn, "reduction", "mean") in ("mean", "sum")


def test_an_example_without_weight_leaves_no_trace():
    def spoilt(x):
        return torch.cat([torch.full((1, 5), 9.0), x[1:]])

    loader = [(spoilt(x), y, WEIGHT) for x, y in batches()]
    assert equal(
        weights(fit(nn.CrossEntropyLoss(), loader=loader)), weights(fit(nn.CrossEntropyLoss()))
    )


def test_the_weight_of_an_example_counts_for_all_its_elements():
    state = TrainState(nn.Identity(), loss_fn=nn.MSELoss(), yb=torch.zeros(2, 2))
    state.pred, state.weight = torch.tensor([[1.0, 3.0], [2.0, 2.0]]), torch.tensor([1.0, 0.5])
    assert weighted_loss(state) == ((1 + 9) / 2 * 1 + (4 + 4) / 2 * 0.5) / 2


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_each_token_of_an_example_may_have_a_weight(reduction):
    state = TrainState(nn.Identity(), loss_fn=nn.MSELoss(reduction=reduction))
    state.yb, state.pred = torch.zeros(2, 3, 4), torch.arange(24.0).reshape(2, 3, 4)
    state.weight = torch.tensor([[1.0, 0.0, 2.0], [0.5, 1.0, 0.0]])
    expected = state.pred**2 * state.weight[..., None]
    assert torch.allclose(weighted_loss(state), getattr(expected, reduction)())


def test_a_handler_may_set_the_weights_of_a_batch_and_they_end_with_it():
    seen = []
    trainer = trainer_of()
    trainer.on("begin_batch", once=True)(
        lambda trainer, state: setattr(state, "weight", WEIGHT * 0)
    )
    trainer.on("after_loss")(lambda trainer, state: seen.append(float(state.loss.detach())))
    trainer.fit(batches())
    assert seen[0] == 0
    assert min(seen[1:]) > 0
    assert trainer.state.weight is None


def test_weights_work_with_metrics_smoothing_and_mixing():
    trainer = fit(nn.CrossEntropyLoss(), Metrics(), LabelSmoothing(0.1), MixUp(seed=3))
    assert {"train_loss", "valid_loss"} <= {*trainer.state.metrics}


def test_weights_need_no_value_of_a_tensor():
    net = nn.Linear(5, 3, device="meta")
    fit(nn.CrossEntropyLoss(), net=net, device="meta")


def test_weights_are_refused_where_the_model_computes_the_loss():
    trainer = trainer_of(net=model(), batch=weighted)
    trainer.state.loss_fn = None
    with pytest.raises(TypeError, match=r"has weights, and no loss_fn was given.*Sequential"):
        trainer.fit([(*batches()[0], WEIGHT)])


@pytest.mark.parametrize("wrong", [torch.ones(3), torch.ones(4, 1), torch.ones(4, 3)])
def test_weights_that_are_not_one_for_each_example_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected one weight for each example, \(B,\)"):
        fit(nn.CrossEntropyLoss(), loader=[(*batches()[0], wrong)])


@pytest.mark.parametrize("wrong", [[1.0] * 4, 0.5])
def test_weights_that_are_no_tensor_are_refused(wrong):
    kind = type(wrong).__name__
    with pytest.raises(TypeError, match=rf"the weight is a {kind}; expected a tensor \(B,\)"):
        fit(nn.CrossEntropyLoss(), loader=[(*batches()[0], wrong)])


def test_a_loss_of_ones_own_that_takes_no_weight_says_what_was_taken():
    with pytest.raises(TypeError, match="3 were given") as raised:
        fit(lambda pred, y: pred.mean())
    assert "and the weight Tensor (4,)" in raised.value.__notes__[0]


@pytest.mark.parametrize(
    "loss_fn",
    [nn.KLDivLoss(reduction="batchmean"), nn.MSELoss(reduction="sum"), nn.MSELoss()],
    ids=str,
)
def test_weights_of_1_change_no_loss(loss_fn):
    generator = torch.Generator().manual_seed(0)
    pred = torch.randn(4, 3, generator=generator).log_softmax(1)
    target = torch.randn(4, 3, generator=generator).softmax(1)
    state = TrainState(model=model(), loss_fn=loss_fn, pred=pred, yb=target, weight=torch.ones(4))
    torch.testing.assert_close(weighted_loss(state), loss_fn(pred, target))


class Own(nn.Module):
    """A loss without a reduction, which takes the weights."""

    def forward(self, pred, y, weight):
        return own(pred, y, weight)


def test_a_module_without_a_reduction_gets_the_weights():
    assert equal(weights(fit(Own())), by_hand(torch.mean))


def test_a_function_that_tells_no_signature_gets_the_weights():
    state = state_of(pred=torch.zeros(2), yb=torch.ones(2), weight=torch.tensor([0.25, 0.5]))
    state.loss_fn = torch.lerp
    assert weighted_loss(state).tolist() == [0.25, 0.5]

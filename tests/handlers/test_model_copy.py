import threading
import warnings

import pytest
import torch
from helpers import batches, equal, model, trainer_of, weights
from torch import nn

from trackside.handlers import EMA, SWA, Checkpoint, GradientClip, LRFinder, SkipBadBatch, StopOnNaN
from trackside.handlers._model_copy import copy_model


class Keeping(nn.Module):
    """Keeps the result of its last forward pass, also inside containers."""

    def __init__(self):
        super().__init__()
        self.body = model()
        self.last = None
        self.all = {}

    def forward(self, x):
        self.last = self.body(x)
        self.all = {"seen": [self.last, (self.last * 2,)]}
        return self.last


def weight_normed():
    net = model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in torch, and in use
        nn.utils.weight_norm(net[0])
    return net


def lazy():
    return nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(3))


HANDLERS = [lambda: EMA(0.5), lambda: SWA(0.0), SkipBadBatch]


@pytest.mark.parametrize("net_of", [Keeping, weight_normed, lazy])
@pytest.mark.parametrize("make", HANDLERS)
def test_models_that_deepcopy_refuses_are_averaged_and_protected(net_of, make):
    net, handler = net_of(), make()
    if net_of is not lazy:
        net(batches()[0][0])  # a model that has been in use
    trainer_of(handler, net=net).fit(batches(), batches(1), epochs=2)
    if hasattr(handler, "averaged"):
        ours = (handler.averaged.module(batches()[0][0]), net.eval()(batches()[0][0]))
        assert torch.equal(*ours)


def test_a_copy_computes_the_same_and_shares_nothing():
    net, x = weight_normed(), batches()[0][0]
    net(x)
    copied = copy_model("a test", net)
    assert torch.equal(copied(x), net(x))
    with torch.no_grad():
        copied[0].weight_v.add_(1)
    assert not torch.equal(copied(x), net(x))


def test_kept_activations_are_detached_in_the_copy():
    net = Keeping()
    net(batches()[0][0])
    copied = copy_model("a test", net)
    assert torch.equal(copied.last, net.last)
    assert copied.all["seen"][0] is copied.last
    assert not copied.last.requires_grad


def test_what_cannot_be_copied_is_named():
    net = nn.Sequential(model(), nn.Tanh())
    net[1].lock = threading.Lock()
    with pytest.raises(TypeError, match=r"EMA cannot copy the Sequential: 1 attribute 'lock' is a"):
        trainer_of(EMA(), net=net).fit(batches())


class Single(nn.Module):
    """Refuses to be copied, and none of its parts does."""

    def __deepcopy__(self, memo):
        raise ValueError("there is only one of me")


def test_a_module_that_refuses_a_copy_speaks_for_itself():
    net = nn.Sequential(model(), Single())
    with pytest.raises(
        TypeError, match=r"EMA cannot copy the Sequential: there is only one of me; "
    ):
        trainer_of(EMA(), net=net).fit(batches())


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(7, 3, sparse=True)

    def forward(self, x):
        return self.table(x).mean(1)


def sparse_fit(*handlers):
    words = torch.tensor([[1, 1, 2], [2, 3, 3]])
    trainer = trainer_of(*handlers, net=Sparse())
    trainer.fit([(words, torch.tensor([0, 2]))] * 3)
    return trainer


@pytest.mark.parametrize("make", [SkipBadBatch, StopOnNaN, lambda: GradientClip(1e6)])
def test_sparse_gradients_are_checked_and_change_nothing(make):
    assert equal(weights(sparse_fit(make())), weights(sparse_fit()))


@pytest.mark.parametrize("limit", [{"max_norm": 0.01}, {"value": 0.001}])
def test_sparse_gradients_are_clipped_as_dense_ones(limit):
    sparse, dense = Sparse(), Sparse()
    dense.table.sparse = False
    words, targets = torch.tensor([[1, 1, 2], [2, 3, 3]]), torch.tensor([0, 2])
    for net in (sparse, dense):
        trainer_of(GradientClip(**limit), net=net).fit([(words, targets)] * 3)
    torch.testing.assert_close(sparse.table.weight, dense.table.weight)


def test_a_bad_sparse_gradient_stops_the_fit():
    net = Sparse()
    words = torch.tensor([[1, 1, 2]])

    class Spoil:
        runs_before = ("StopOnNaN",)

        def begin_step(self, trainer, state):
            net.table.weight.grad = net.table.weight.grad * float("inf")

    state = trainer_of(Spoil(), StopOnNaN(), net=net).fit([(words, torch.tensor([0]))])
    assert "non-finite gradients" in str(state.cancel)
    assert net.table.weight.isfinite().all()


def test_a_bad_first_batch_of_a_lazy_norm_leaves_no_statistics():
    net = lazy()
    first, *rest = batches()
    bad = (torch.full_like(first[0], float("nan")), first[1])
    handler = SkipBadBatch()
    trainer_of(handler, net=net).fit([bad, *rest])
    assert handler.skipped == 1
    assert net[1].running_mean.isfinite().all()
    assert net[1].num_batches_tracked == 2


def test_ema_says_that_it_found_another_model_and_starts_anew():
    reused, alone = EMA(0.5), EMA(0.5)
    trainer_of(reused, net=model(seed=1)).fit(batches())
    second = trainer_of(reused, net=model(seed=2))
    with pytest.warns(UserWarning, match=r"EMA averages another Sequential .* starts anew"):
        second.fit(batches())
    fresh = trainer_of(alone, net=model(seed=2))
    fresh.fit(batches())
    assert equal(weights(second), weights(fresh))
    assert reused.updates == 3


def test_an_optimizer_without_rates_trains_and_reports_none():
    trainer = trainer_of()
    trainer.state.optimizer = Steady(trainer.state.model.parameters())
    assert trainer.fit(batches()).outcome == "completed"
    assert trainer.state.lr is None


class Steady(torch.optim.Optimizer):
    """An optimizer that has no learning rate."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    def step(self, closure=None):
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter.sub_(0.1 * parameter.grad)


class Odd(nn.Module):
    """Has a buffer of the kind of which torch writes or copies few."""

    def __init__(self, kind, persistent):
        super().__init__()
        eye = torch.eye(5)
        self.body = model()
        buffer = {
            "expanded": lambda: torch.ones(5)[None].expand(5, 5),
            "sparse": eye.to_sparse,
            "compressed": eye.to_sparse_csr,
        }[kind]()
        self.register_buffer("odd", buffer, persistent=persistent)

    def forward(self, x):
        return self.body((self.odd @ x.T).T)


@pytest.mark.filterwarnings("ignore:Sparse")  # torch says that they are in beta state
@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("kind", ["expanded", "sparse", "compressed"])
@pytest.mark.parametrize("make", HANDLERS)
def test_a_fit_with_an_odd_buffer_resumes_bit_for_bit(tmp_path, make, kind, persistent):
    def fitted(folder, epochs, **options):
        net = Odd(kind, persistent)
        trainer = trainer_of(make(), Checkpoint(folder, epochs=1), net=net)
        trainer.fit(batches(), batches(1), epochs=epochs, **options)
        return weights(trainer)

    fitted(tmp_path / "a", 1)
    assert equal(fitted(tmp_path / "a", 2, resume=tmp_path / "a"), fitted(tmp_path / "b", 2))


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("kind", ["expanded", "sparse", "compressed"])
def test_a_trial_restores_a_model_with_an_odd_buffer(kind):
    net = Odd(kind, persistent=True)
    trainer = trainer_of(net=net)
    before = weights(trainer)
    LRFinder(steps=20).find(trainer, batches(3))
    assert equal(weights(trainer), before)

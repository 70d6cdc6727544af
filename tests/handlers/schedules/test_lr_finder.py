import copy
import math
import random
import sys

import numpy
import pytest
import torch
from helpers import (
    CANCELS,
    LEGAL,
    Trace,
    batches,
    equal,
    model,
    raise_at,
    state_of,
    trainer_of,
    weights,
)
from optimizers import OPTIMIZERS, Reads, adamw, in_groups, options, sgd
from pairs import trainer_of_two
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trackside.engine import KeyedLoader, Trainer
from trackside.events import AttachError, RetryBatchException
from trackside.handlers.optimization.gradient_accumulation import GradientAccumulation
from trackside.handlers.schedules._lr_curve import LRCurve
from trackside.handlers.schedules.lr_finder import LRFinder

pytestmark = pytest.mark.filterwarnings("ignore:in eval mode before the fit")


class Restless(nn.Module):
    """A forward pass that changes all it can: statistics, buffers, random numbers."""

    def __init__(self):
        super().__init__()
        self.body = model()
        self.norm = nn.BatchNorm1d(5)
        self.drop = nn.Dropout(0.2)
        self.own = torch.Generator().manual_seed(1)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(2), persistent=False)
        self.register_buffer("expanded", torch.ones(1).expand(3))
        self.register_buffer("nothing", None)

    def forward(self, x):
        self.calls += 1
        self.replaced = self.replaced + 1
        noise = torch.rand(x.shape, generator=self.own) + random.random() + numpy.random.rand()
        return self.body(self.drop(self.norm(x + noise / 10))) * self.expanded


def loader_of(count=6):
    x, y = (torch.cat(parts) for parts in zip(*batches(count), strict=True))
    generator = torch.Generator().manual_seed(3)
    return DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True, generator=generator)


def fitted(optimizer=sgd):
    """A trainer that has fitted, with gradients and mixed modes, and its loader."""
    net, loader = Restless(), loader_of()
    trainer = trainer_of(net=net, optimizer=optimizer(net))
    trainer.fit(loader, loader)
    net.train()
    net.body[1].eval()
    net.body[0].weight.grad = torch.ones_like(net.body[0].weight)
    return trainer, loader


def everything(trainer, loader):
    """A copy of everything that must not change."""
    net, optimizer = trainer.state.model, trainer.state.optimizer
    return copy.deepcopy(
        {
            "weights": list(net.parameters()),
            "buffers": dict(net.named_buffers()),
            "gradients": [parameter.grad for parameter in net.parameters()],
            "modes": [module.training for module in net.modules()],
            "optimizer": optimizer.state_dict(),
            "options": options(optimizer),
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "numpy": numpy.random.get_state(),
            "generators": [net.own.get_state(), loader.generator.get_state()],
            "state": (trainer.state.phase, trainer.state.step, trainer.state.metrics),
        }
    )


def same(a, b):
    if isinstance(a, (torch.Tensor, numpy.ndarray)):
        return bool((a == b).all())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def live_objects(trainer):
    """The objects that other code may hold; they must not be replaced."""
    net, optimizer = trainer.state.model, trainer.state.optimizer
    return [
        *net.parameters(),
        *net.buffers(),
        *(parameter.grad for parameter in net.parameters()),
        *optimizer.param_groups,
        optimizer.state,
        *optimizer.state.values(),
        *(value for slots in optimizer.state.values() for value in slots.values()),
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_everything_is_restored_bitwise(optimizer):
    trainer, loader = fitted(optimizer)
    before, objects = everything(trainer, loader), live_objects(trainer)
    curve = LRFinder(1e-4, 10, 30).find(trainer, loader)
    assert len(curve.losses) > 5
    assert same(everything(trainer, loader), before)
    assert all(ours is theirs for ours, theirs in zip(live_objects(trainer), objects, strict=True))


def test_optimizer_without_state_has_none_afterwards():
    net = Restless()
    trainer = trainer_of(net=net, optimizer=adamw(net))
    LRFinder(steps=20).find(trainer, loader_of())
    assert trainer.state.optimizer.state == {}
    assert all(parameter.grad is None for parameter in net.parameters())


def test_next_fit_is_bitwise_unchanged():
    results = []
    for find in (False, True):
        torch.manual_seed(0)
        random.seed(0)
        numpy.random.seed(0)
        trainer, loader = fitted(adamw)
        if find:
            LRFinder(steps=20).find(trainer, loader)
        trainer.fit(loader, epochs=2)
        results.append(weights(trainer))
    assert equal(*results)


class Boom(Exception):
    pass


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["forward", "loss", "begin_step", "after_step", "loader"])
def test_any_error_restores_everything(error, where):
    trainer, loader = fitted()
    handlers = []
    reads = iter(range(99))

    class Breaks:
        def fail(self, state):
            if next(reads) == 10:
                raise error

    breaks = Breaks()
    if where == "forward":
        trainer.state.model.body.register_forward_hook(lambda *_: breaks.fail(None))
    elif where == "loss":
        own = trainer.state.loss_fn
        trainer.state.loss_fn = lambda *both: (breaks.fail(None), own(*both))[1]
    elif where == "loader":
        loader.collate_fn = lambda items: (
            breaks.fail(None),
            torch.utils.data.default_collate(items),
        )[1]
    else:
        handler = type("Handler", (), {where: lambda self, t, state: breaks.fail(state)})()
        handlers = [handler]
    before = everything(trainer, loader)
    with pytest.raises(error):
        LRFinder(1e-5, 1e-4, 20).find(trainer, loader, handlers)
    assert same(everything(trainer, loader), before)


class Canceller:
    """Cancels a scope at the first send of a signal in the trial."""

    def __init__(self, signal, scope):
        self.signal, self.scope = signal, scope

    def attached(self, trainer):
        if self.signal.startswith("after_cancel_"):
            inner = self.signal.removeprefix("after_cancel_")
            raise_at(trainer, f"begin_{inner}", CANCELS[inner], within=self.scope)
        raise_at(trainer, self.signal, CANCELS[self.scope])

    def after_fit(self, trainer, state):
        pass


@pytest.mark.parametrize(
    ("signal", "scope"), [(s, c) for s, c in LEGAL if "validate" not in (*s.split("_"), c)]
)
def test_any_cancel_in_the_test_restores_everything(signal, scope):
    trainer, loader = fitted()
    before = everything(trainer, loader)
    LRFinder(1e-5, 1e-4, 20).find(trainer, loader, [Canceller(signal, scope)])
    assert same(everything(trainer, loader), before)


def test_handlers_of_the_trainer_are_not_called():
    trainer, loader = fitted()
    trace = Trace()
    trainer.attach(trace)
    LRFinder(steps=20).find(trainer, loader)
    assert trace.signals == []
    assert trainer.handlers == [trace]


def test_handlers_can_be_attached_for_the_test():
    trace = Trace()
    curve = LRFinder(1e-5, 1e-2, 20).find(
        trainer_of(), batches(4), [trace, GradientAccumulation(2)]
    )
    assert len(curve.rates) == 20
    assert trace.signals.count("begin_batch") == 40


def test_rates_grow_by_the_same_factor():
    used = []

    class Watch:
        def begin_step(self, trainer, state):
            used.append(state.lr)

    curve = LRFinder(1e-5, 1e-2, 31).find(trainer_of(), batches(4), [Watch()])
    assert curve.rates == pytest.approx([1e-5 * 10 ** (n / 10) for n in range(31)])
    assert used == curve.rates


def test_groups_keep_the_ratio_of_their_rates():
    used, net = [], model()

    class Watch:
        def begin_step(self, trainer, state):
            used.append([group["lr"] for group in state.optimizer.param_groups])

    trainer = trainer_of(net=net, optimizer=in_groups(net))
    curve = LRFinder(1e-5, 1e-2, 20).find(trainer, batches(4), [Watch()])
    assert used[-1] == pytest.approx([1e-2, 2e-2, 3e-2, 4e-2])
    assert [rates[0] for rates in used] == curve.rates


def test_initial_rate_of_zero_works():
    net = model()
    trainer = trainer_of(net=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.0))
    assert len(LRFinder(1e-5, 1e-2, 20).find(trainer, batches(4)).rates) == 20


def test_losses_are_the_smoothed_losses_of_a_manual_loop():
    curve = LRFinder(1e-3, 1e-1, 25).find(trainer_of(), batches(5))
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    mean, expected = 0.0, []
    for n in range(25):
        x, y = batches(5)[n % 5]
        optimizer.param_groups[0]["lr"] = 1e-3 * 100 ** (n / 24)
        loss = nn.functional.cross_entropy(net(x), y)
        mean = 0.92 * mean + 0.08 * loss.item()
        expected.append(mean / (1 - 0.92 ** (n + 1)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert curve.losses == pytest.approx(expected, rel=1e-5)


def test_a_loss_is_judged_once_however_often_its_batch_is_retried():
    def retry(trainer, state):
        if state.attempt < 2:
            raise RetryBatchException("out of memory")

    class Retries:
        begin_backward = staticmethod(retry)

    plain = LRFinder(1e-3, 1e-1, 25).find(trainer_of(), batches(5))
    retried = LRFinder(1e-3, 1e-1, 25).find(trainer_of(), batches(5), [Retries()])
    assert retried.losses == plain.losses


def test_short_loader_is_read_repeatedly():
    assert len(LRFinder(1e-5, 1e-3, 20).find(trainer_of(), batches(1)).losses) == 20


def test_loader_without_length_is_read_only_as_needed():
    read = []

    def stream():
        for batch in batches(40):
            read.append(batch)
            yield batch

    curve = LRFinder(1e-5, 1e-3, 20).find(trainer_of(), stream())
    assert (len(curve.losses), len(read)) == (20, 20)


def test_exhausted_iterator_ends_the_test():
    with pytest.warns(UserWarning, match="gave no batch"):
        curve = LRFinder(1e-5, 1e-3, 20).find(trainer_of(), iter(batches(12)))
    assert len(curve.losses) == 12


def test_diverging_loss_ends_the_test():
    trainer = trainer_of(loss_fn=lambda pred, y: nn.functional.cross_entropy(pred, y) ** 4)
    curve = LRFinder(1e-3, 1e6, 100).find(trainer, batches(5))
    assert 10 < len(curve.losses) < 90
    assert all(map(math.isfinite, curve.losses))


def test_negative_loss_can_diverge():
    trainer = trainer_of(loss_fn=lambda pred, y: nn.functional.cross_entropy(pred, y) ** 2 - 9)
    curve = LRFinder(1e-3, 1e6, 100).find(trainer, batches(5))
    assert 10 < len(curve.losses) < 100
    assert curve.losses[0] < 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_loss_ends_the_test(value):
    calls = iter(range(99))

    def loss_fn(pred, y):
        return nn.functional.cross_entropy(pred, y) * (value if next(calls) == 15 else 1)

    curve = LRFinder(1e-5, 1e-3, 20).find(trainer_of(loss_fn=loss_fn), batches(5))
    assert len(curve.losses) == 15


def test_suggested_rate_lowers_the_loss():
    data = [(x, x[:, :3].argmax(1)) for x, _ in batches(1, size=64)]
    trainer = trainer_of()
    curve = LRFinder(1e-5, 100).find(trainer, data)
    assert 0.01 < curve.valley < curve.steepest < 10
    before = score(trainer, data)
    trainer.state.optimizer.param_groups[0]["lr"] = curve.valley
    trainer.fit(data, epochs=20)
    assert score(trainer, data) < 0.9 * before


def score(trainer, data):
    with torch.no_grad():
        parts = [nn.functional.cross_entropy(trainer.state.model(x), y) for x, y in data]
    return torch.stack(parts).mean()


def curve_of(losses):
    return LRCurve([10.0 ** (n / 10) for n in range(len(losses))], losses)


def test_valley_is_the_middle_of_the_longest_descent():
    losses = [9.0] * 10 + [8, 7, 6, 5, 4, 3, 2, 1, 0] + [5, 4, 3] + [9.0] * 10
    curve = curve_of(losses)
    assert curve.losses[curve.rates.index(curve.valley)] in (5, 4)


def test_bump_does_not_end_a_descent():
    losses = [20.0] * 5 + [10, 9, 8, 9.5, 7, 6, 7.5, 5, 4, 3, 2] + [20.0] * 9
    curve = curve_of(losses)
    assert curve.losses[curve.rates.index(curve.valley)] in (7, 6)


def test_steepest_rate_is_the_middle_of_the_largest_fall():
    losses = [9.0] * 10 + [8.5, 8, 4, 3.5, 3, 3, 3] + [9.0] * 5
    curve = curve_of(losses)
    assert curve.losses[curve.rates.index(curve.steepest)] == 8


def test_single_falls_in_noise_are_ignored():
    noise = [9.0, 7.0] * 50
    fall = [8.0 - n / 10 for n in range(60)]
    curve = curve_of(noise + fall + [9.0] * 40)
    assert curve.rates[100] < curve.steepest < curve.rates[160]


def test_start_and_end_of_the_curve_are_ignored():
    losses = [100.0, *range(50, 40, -1), *range(40, 31, -1), -100]
    curve = curve_of(losses)
    assert curve.steepest not in (curve.rates[0], curve.rates[-2])


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([], "no rate to suggest from 0 losses"),
        ([3.0, 2.0, 1.0], "no rate to suggest from 3 losses: the test ended too soon"),
        ([1.0] * 30, "the loss never fell, from"),
        (list(range(30)), "the loss never fell, from"),
    ],
)
@pytest.mark.parametrize("suggestion", ["valley", "steepest"])
def test_curve_without_descent_raises_with_explanation(losses, message, suggestion):
    with pytest.raises(ValueError, match=message):
        getattr(curve_of(losses), suggestion)


def test_repr_shows_the_suggestions():
    losses = [9.0] * 10 + [8, 7, 6, 5, 4, 3, 2, 1] + [9.0] * 5
    assert repr(curve_of(losses)) == "LRCurve(23 steps, valley 20, steepest 10)"
    assert repr(curve_of([])) == "LRCurve(0 steps)"


def test_plot_shows_the_curve_and_the_suggestions(tmp_path):
    losses = [9.0] * 10 + [8, 7, 6, 5, 4, 3, 2, 1] + [9.0] * 5
    curve = curve_of(losses)
    figure = curve.plot(tmp_path / "rates.png")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    line, *points = axes.get_lines()
    assert (list(line.get_xdata()), list(line.get_ydata())) == (curve.rates, losses)
    assert [point.get_label() for point in points] == ["valley: 20", "steepest: 10"]
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")


def test_curve_without_suggestion_can_be_plotted():
    (axes,) = curve_of([1.0, 2.0]).plot().axes
    assert len(axes.get_lines()) == 1


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'trackside\[plot\]'"):
        curve_of([1.0, 2.0]).plot()


def test_one_value_is_read_per_batch():
    trainer = trainer_of()
    with Reads() as reads:
        LRFinder(1e-5, 1e-3, 20).find(trainer, batches(4))
    assert reads.count == 20


def test_trial_uses_the_same_trainer_class_and_device():
    devices = []

    class Own(Trainer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            devices.append(self.state.device)

    net = model()
    trainer = Own(net, nn.CrossEntropyLoss(), sgd(net), device="cpu")
    LRFinder(1e-5, 1e-3, 20).find(trainer, batches(4))
    assert devices == [torch.device("cpu")] * 2


def test_trainer_without_optimizer_raises():
    trainer = Trainer(model(), nn.CrossEntropyLoss())
    with pytest.raises(TypeError, match="the trainer has no optimizer"):
        LRFinder().find(trainer, batches())


def test_running_trainer_raises():
    trainer = trainer_of()
    trainer.on("after_loss", once=True)(lambda t, state: LRFinder().find(t, batches()))
    with pytest.raises(RuntimeError, match=r"the trainer is in fit\.epoch\.train\.batch\.scored"):
        trainer.fit(batches())


def test_lr_finder_cannot_be_attached():
    with pytest.raises(AttachError, match="LRFinder receives no signal"):
        trainer_of(LRFinder())


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"start": 0}, ValueError),
        ({"start": 20}, ValueError),
        ({"start": math.nan}, ValueError),
        ({"end": math.inf}, ValueError),
        ({"steps": 19}, ValueError),
        ({"steps": 50.0}, TypeError),
        ({"steps": True}, TypeError),
        ({"diverged": 1}, ValueError),
    ],
)
def test_invalid_argument_raises(wrong, error):
    with pytest.raises(error, match=r"LRFinder\(.*allowed: "):
        LRFinder(**wrong)


def test_range_test_works_on_a_hand_made_state():
    from trackside.handlers.schedules.lr_finder import _RangeTest

    net = model()
    state = state_of(model=net, optimizer=sgd(net), loss=torch.tensor(2.0), step=0)
    test = _RangeTest(LRFinder(1e-3, 1e-1, 21))
    test.begin_fit(None, state)
    test.begin_batch(None, state)
    assert state.lr == pytest.approx(1e-3)
    test.after_loss(None, state)
    state.step = 1
    test.after_step(None, state)
    assert (test.curve.rates, test.curve.losses) == ([pytest.approx(1e-3)], [pytest.approx(2.0)])


def test_loader_position_is_restored():
    loader = KeyedLoader(TensorDataset(torch.randn(12, 5), torch.randint(0, 3, (12,))), 4, True)
    next(iter(loader))
    before = loader.position
    LRFinder(steps=20).find(trainer_of(), loader)
    assert loader.position == before


def test_a_trainer_of_several_optimizers_is_refused():
    with pytest.raises(TypeError, match=r"several optimizers \(a, b\), and the test trains one"):
        LRFinder(steps=20).find(trainer_of_two(), batches(3))


def test_the_weights_and_the_buffers_of_the_loss_are_restored():
    loss_fn = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    before = copy.deepcopy(loss_fn.state_dict())
    net = model()
    optimizer = torch.optim.SGD([*net.parameters(), *loss_fn.parameters()], lr=0.1)
    trainer = trainer_of(net=net, optimizer=optimizer, loss_fn=Measured(loss_fn))
    LRFinder(1e-4, 1, 20).find(trainer, loader_of())
    assert same(loss_fn.state_dict(), before)


class Measured(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, pred, yb):
        return self.part(pred).square().mean()


def test_a_model_without_shapes_yet_is_refused():
    net = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(TypeError, match=r"without a shape.* pass one batch"):
        LRFinder().find(trainer_of(net=net), loader_of())


def test_an_optimizer_whose_groups_have_no_rate_is_refused():
    trainer = trainer_of()
    del trainer.state.optimizer.param_groups[0]["lr"]
    with pytest.raises(TypeError, match=r"group 0 of the SGD has no 'lr'"):
        LRFinder().find(trainer, loader_of())


def test_batches_are_taken_apart_and_counted_as_in_the_trainer():
    net, sizes = nn.Linear(3, 2), []
    trainer = trainer_of(
        net=net, batch=lambda batch: (batch["x"], batch["y"]), batch_size=lambda batch: 7
    )
    data = [{"y": torch.zeros(4).long(), "x": torch.randn(4, 3)}]

    class Sizes:
        def after_loss(self, trainer, state):
            sizes.append(state.batch_size)

    LRFinder(steps=20).find(trainer, data, handlers=[Sizes()])
    assert set(sizes) == {7}

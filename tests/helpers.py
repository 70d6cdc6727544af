"""Tiny things that the tests share: a model, batches, a trainer, a trace, and cancels."""

import os
import random

import pytest
import torch
from conftest import SEED
from torch import nn

from trackside.engine import Trainer
from trackside.engine.statechart.chart import SUPERVISED
from trackside.events import CANCELS, TrainState

torch.set_num_threads(1)  # threads only wait for each other where all tensors are this small


def model(seed=0):
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 3
    return net


def batches(count=3, size=4, seed=7):
    generator = torch.Generator().manual_seed(seed)
    sizes = [size] * count if isinstance(size, int) else size
    return [
        (torch.randn(n, 5, generator=generator), torch.randint(0, 3, (n,), generator=generator))
        for n in sizes
    ]


def trainer_of(*handlers, net=None, optimizer=None, loss_fn=None, **options):
    net = net or model()
    optimizer = optimizer or torch.optim.SGD(net.parameters(), lr=0.1)
    return Trainer(net, loss_fn or nn.CrossEntropyLoss(), optimizer, handlers, **options)


def state_of(**fields):
    """A hand-made state; the model in it is real."""
    return TrainState(**{"model": model(), **fields})


def weights(trainer):
    return [parameter.detach().clone() for parameter in trainer.state.model.parameters()]


def equal(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def furthest(ours, theirs):
    """The greatest difference between any two elements."""
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))


class Trace:
    """Records the name of every signal."""

    def __init__(self):
        self.signals = []

    def any_transition(self, trainer, state, transition):
        self.signals.append(transition.trigger)


def scopes(phase):
    return phase.split(".")[:-1]


def raise_at(trainer, signal, cancel, within=None):
    """Have `cancel` raised the first time that `signal` is sent with its scope open.

    `within`: the name of another scope that must be open.
    """

    def raiser(trainer, state):
        if {cancel.scope, within or cancel.scope} <= {*scopes(state.phase)}:
            trainer.detach(raiser)
            raise cancel(f"at {signal}")

    trainer.on(signal)(raiser)
    return raiser


RECOVERED = "begin_retry", "begin_rollback", "after_rollback"
"""Signals that only a retry or a rollback sends."""

LEGAL = sorted(
    {
        (trigger, scope)
        for trigger, _, destination in SUPERVISED
        for scope in scopes(destination)
        if trigger not in ("after_error", f"after_cancel_{scope}", *RECOVERED)
    }
)
"""Every signal with every scope that may be cancelled there."""


def every_cancel(test):
    """Every cell of LEGAL; `make test` draws some of them, `make soak` runs all."""
    return pytest.mark.matrix(pytest.mark.parametrize(("signal", "scope"), LEGAL)(test))


early_or_late = pytest.mark.parametrize(
    "early", [True, False], ids=["raised_before", "raised_after"]
)


def cancelled_fit(handler, signal, scope, early, handlers=()):
    """A trainer after a fit in which `scope` was cancelled at `signal`, beside `handler`.

    `early`: the handler does not hear a `begin_` signal at which the cancel is raised.
    """
    trainer = trainer_of(*handlers)
    if not early:
        trainer.attach(handler)
    inner = signal.removeprefix("after_cancel_") if signal.startswith("after_cancel_") else ""
    first = raise_at(trainer, f"begin_{inner}", CANCELS[inner], within=scope) if inner else None
    raiser = raise_at(trainer, signal, CANCELS[scope])
    if early:
        trainer.attach(handler)
    trainer.fit(batches(3), batches(2), epochs=2)
    assert raiser not in trainer.handlers, "the cancel was never raised"
    if first in trainer.handlers:  # the handler made that cancel itself
        trainer.detach(first)
    assert trainer.state.phase in ("completed", "cancelled")
    return trainer


def sample(of, count):
    """At most `count` of them, which differ from run to run, and from test to test."""
    draw = random.Random(f"{os.environ.get(SEED, '0')} {os.environ['PYTEST_CURRENT_TEST']}")
    return sorted(draw.sample(of, min(count, len(of))))


def drawn(number, count):
    """Seeds that differ from run to run; the first part is printed with the results."""
    first = int(os.environ.get(SEED, "0")) * 10**6 + number * count
    return range(first, first + count)

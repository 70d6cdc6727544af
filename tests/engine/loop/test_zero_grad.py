"""The activity zero_grad does what `optimizer.zero_grad()` does, whatever that is."""

import pytest
import torch
from helpers import batches, model, state_of, trainer_of
from torch import nn

from trackside.engine.loop.activities import zero_grad


def with_gradients(optimizer_class):
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    net[0].bias.requires_grad_(False)
    groups = [{"params": net[0].parameters()}, {"params": net[1].parameters(), "lr": 0.2}]
    net(torch.ones(1, 2)).sum().backward()
    return net, optimizer_class(groups, lr=0.1)


class Remembering(torch.optim.SGD):
    """Has a `zero_grad` of its own."""

    called = 0

    def zero_grad(self, set_to_none=True):
        self.called += 1
        super().zero_grad(set_to_none)


@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam, Remembering])
def test_every_gradient_of_every_group_is_none_as_after_zero_grad(optimizer_class):
    net, optimizer = with_gradients(optimizer_class)
    assert any(parameter.grad is not None for parameter in net.parameters())
    zero_grad(state_of(optimizer=optimizer))
    assert [parameter.grad for parameter in net.parameters()] == [None] * 4


def test_gradients_of_parameters_of_other_optimizers_stay():
    net, _ = with_gradients(torch.optim.SGD)
    zero_grad(state_of(optimizer=torch.optim.SGD(net[0].parameters(), lr=0.1)))
    assert net[0].weight.grad is None
    assert net[1].weight.grad is not None


def test_zero_grad_of_a_class_of_its_own_is_called_once_a_batch_of_a_fit():
    net = model()
    optimizer = Remembering(net.parameters(), lr=0.1)
    trainer = trainer_of(net=net, optimizer=optimizer)
    trainer.fit(batches(3))
    assert optimizer.called == 1 + 3  # begin_fit clears what was there


def test_zero_grad_that_was_set_on_the_optimizer_is_called():
    net, optimizer = with_gradients(torch.optim.SGD)
    called = []
    optimizer.zero_grad = lambda: called.append(True)
    zero_grad(state_of(optimizer=optimizer))
    assert called == [True]
    assert net[1].weight.grad is not None


def test_zero_grad_that_was_set_on_the_class_of_all_optimizers_is_called(monkeypatch):
    called = []

    def noted(optimizer):
        called.append(optimizer)

    monkeypatch.setattr(torch.optim.Optimizer, "zero_grad", noted)
    _, optimizer = with_gradients(torch.optim.SGD)
    zero_grad(state_of(optimizer=optimizer))
    assert called == [optimizer]


def test_an_optimizer_that_is_none_of_torch_s_has_its_zero_grad_called():
    class Other:
        def __init__(self):
            self.cleared = False
            self.zero_grad = lambda: setattr(self, "cleared", True)

    optimizer = Other()
    zero_grad(state_of(optimizer=optimizer))
    assert optimizer.cleared


def test_a_profile_of_a_fit_names_the_calls_of_zero_grad():
    net = model()
    trainer = trainer_of(net=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        trainer.fit(batches(3))
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["Optimizer.zero_grad#SGD.zero_grad"] == 1 + 3

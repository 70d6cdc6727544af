"""The wrapped model, in a process group of this process alone."""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn

from trackside.events import TrainState
from trackside.handlers.distributed._wrapped_model import ReplicatedModel


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


@pytest.fixture
def replicas(model, group):
    held = SimpleNamespace(group=dist.group.WORLD, end=lambda: None)
    return ReplicatedModel(TrainState(model=model), held)


def train(replicas, model):
    with replicas.reducing(True):
        pred = replicas.module(model)(torch.ones(5, 3))
    pred.sum().backward()


def test_a_gradient_is_not_copied_out_of_its_bucket(replicas, model):
    train(replicas, model)
    memory = {p.grad.untyped_storage().data_ptr() for p in model.parameters()}
    assert len(memory) == 1


def test_a_model_that_is_frozen_is_not_wrapped_and_its_inputs_have_gradients(model, group):
    model.requires_grad_(False)
    held = SimpleNamespace(group=dist.group.WORLD, end=lambda: None)
    replicas = ReplicatedModel(TrainState(model=model), held)
    assert replicas.module(model) is model
    inputs = torch.ones(5, 3, requires_grad=True)
    with replicas.reducing(True):
        loss = model(inputs).sum()
    replicas.begin_backward(loss)
    loss.backward()
    replicas.end_backward()
    assert inputs.grad is not None


def test_gradients_are_those_of_the_plain_model(replicas, model):
    train(replicas, model)
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(torch.ones(5, 3)).sum().backward()
    assert all(map(torch.equal, found, (p.grad for p in model.parameters())))

"""Who watches is told of the waits of a wrapped model; one process is group enough."""

from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from torch import nn, ones
from torch.nn.parallel import DistributedDataParallel

from trackside.handlers.distributed._collective_waits import CollectiveWaits


def wrapped():
    return DistributedDataParallel(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))


def hooks(model):
    return [len(m._forward_pre_hooks) for m in model.modules()]


def followed(*watchers):
    waits = CollectiveWaits()
    waits.follow(SimpleNamespace(collective_watchers=list(watchers)))
    return waits


def test_a_batch_waits_for_buffers_then_for_gradients(group):
    model, seen = wrapped(), []
    waits = followed(lambda what, begins: seen.append((what, begins)))
    first = model.module[0].weight
    first.register_post_accumulate_grad_hook(lambda weight: seen.append("the last gradient"))
    with waits.sending_buffers(model, nullcontext()):
        loss = model(ones(4, 2)).sum()
    assert seen == [("buffers", True), ("buffers", False)]
    waits.follow_backward(loss)
    loss.backward()
    waits.end()
    assert seen[2:] == ["the last gradient", ("gradients", True), ("gradients", False)]
    assert not loss._backward_hooks  # a handler may go backward from it once more


def test_a_model_has_no_hook_when_its_forward_pass_runs(group):
    model, waits = wrapped(), followed(lambda what, begins: None)
    before, inside = hooks(model), []
    model.module.forward = lambda x: inside.append(hooks(model)) or x
    with waits.sending_buffers(model, nullcontext()):
        model(ones(4, 2))
    assert inside[0][1:] == before[1:]  # the first one is the wrapper
    assert hooks(model) == before


def test_nothing_is_hooked_for_nobody_and_without_buffers(group):
    model, waits, forward = wrapped(), followed(), nullcontext()
    assert waits.sending_buffers(model, forward) is forward
    plain = DistributedDataParallel(nn.Linear(2, 3))
    waits = followed(lambda what, begins: None)
    assert waits.sending_buffers(plain, forward) is forward


def test_the_wait_for_buffers_that_cannot_be_sent_has_ended(group, monkeypatch):
    model, seen = wrapped(), []
    waits = followed(lambda what, begins: seen.append((what, begins)))
    monkeypatch.setattr(model, "_pre_forward", Mock(side_effect=ConnectionError))
    with pytest.raises(ConnectionError), waits.sending_buffers(model, nullcontext()):
        model(ones(4, 2))
    assert seen == [("buffers", True), ("buffers", False)]
    assert model.module._forward_pre_hooks == {}


def test_a_wait_within_a_wait_is_one():
    seen = []
    waits = followed(lambda what, begins: seen.append((what, begins)))
    with waits.waiting("weights"), waits.waiting("buffers"):
        seen.append("inside")
    assert seen == [("weights", True), "inside", ("weights", False)]


def test_a_wait_that_failed_has_ended():
    seen = []
    waits = followed(lambda what, begins: seen.append((what, begins)))
    try:
        with waits.waiting("weights"):
            raise ConnectionError
    except ConnectionError:
        waits.end()
    assert seen == [("weights", True), ("weights", False)]

"""Who watches is told of the waits of a wrapped model; one process is group enough."""

from types import SimpleNamespace

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
    waits.follow_buffers(model)
    loss = model(ones(4, 2)).sum()
    assert seen == [("buffers", True), ("buffers", False)]
    waits.follow_backward(loss)
    loss.backward()
    waits.end()
    assert seen[2:] == ["the last gradient", ("gradients", True), ("gradients", False)]
    assert not loss._backward_hooks  # a handler may go backward from it once more


def test_hooks_are_taken_off_and_nothing_is_hooked_for_nobody(group):
    model, waits = wrapped(), followed()
    before = hooks(model)
    waits.follow_buffers(model)
    waits.follow_backward(model(ones(4, 2)).sum())
    assert hooks(model) == before
    waits = followed(lambda what, begins: None)
    waits.follow_buffers(model)
    waits.follow_buffers(model)
    assert sum(hooks(model)) == sum(before) + 2
    waits.close()
    assert hooks(model) == before


def test_a_wait_that_failed_has_ended():
    seen = []
    waits = followed(lambda what, begins: seen.append((what, begins)))
    try:
        with waits.waiting("weights"):
            raise ConnectionError
    except ConnectionError:
        waits.end()
    assert seen == [("weights", True), ("weights", False)]

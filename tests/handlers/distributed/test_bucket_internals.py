"""Private parts of DistributedDataParallel: each test names the part that torch has changed."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trackside.handlers import _torch_internals as internals


def changed(part, how):
    return f"torch {torch.__version__}: {part} {how}; adapt handlers/_torch_internals.py"


def test_buckets_are_arranged_once_after_the_first_pass(group):
    wrapped = DistributedDataParallel(_layers(), gradient_as_bucket_view=True)
    _pass(wrapped)
    gradients = [p.grad.clone() for p in wrapped.parameters()]
    places = [_places(wrapped)]
    for _ in range(2):
        internals.arrange_buckets(wrapped)
        places.append(_places(wrapped))
    part = "DistributedDataParallel.reducer._rebuild_buckets"
    first, *later = places
    assert first == sorted(first), changed("DistributedDataParallel", "has another first order")
    backwards = sorted(later[0], reverse=True)
    assert later == [backwards] * 2, changed(part, "does not arrange them, or does it twice")
    kept = all(map(torch.equal, gradients, (p.grad for p in wrapped.parameters())))
    assert kept, changed(part, "loses gradients")


def test_gradients_go_to_the_group_that_was_set_last(group):
    part = "DistributedDataParallel.reducer._update_process_group"
    wrapped, again = (DistributedDataParallel(_layers()) for _ in range(2))
    internals.send_to(wrapped, dist.ProcessGroup(0, 1))  # it cannot send
    with pytest.raises(RuntimeError, match="No backend"):
        _pass(wrapped)
    internals.send_to(again, dist.ProcessGroup(0, 1))
    internals.send_to(again, dist.group.WORLD)
    _pass(again)
    assert all(p.grad is not None for p in again.parameters()), changed(part, "keeps the group")


def _layers():
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def _pass(wrapped):
    wrapped(torch.ones(5, 3)).sum().backward()


def _places(wrapped):
    return [p.grad.storage_offset() for p in wrapped.parameters()]

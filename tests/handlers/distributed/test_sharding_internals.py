"""What `fully_shard` does to a module, and how it is undone; one process is group enough."""

import gc
import weakref

import pytest
import torch
import torch.distributed as dist
from torch import nn

from trackside.handlers._torch_internals import end_sharding, forget_group


@pytest.fixture
def group(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def sharded(model):
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import fully_shard

    made = dist.new_group()
    fully_shard(model, mesh=DeviceMesh.from_group(made, "cpu"))
    return weakref.ref(made)


def notes_on(model):
    return [
        (type(m), sorted(vars(m)), len(m._forward_hooks), len(m._forward_pre_hooks))
        for m in model.modules()
    ]


def test_the_end_of_sharding_leaves_the_modules_as_before(group):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before, parameters = notes_on(model), dict(model.named_parameters())
    sharded(model)
    assert notes_on(model) != before
    end_sharding(model)
    for name, parameter in parameters.items():
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, parameter)
    assert notes_on(model) == before
    model(torch.ones(4, 3)).sum().backward()
    sharded(model)  # and it can be sharded again


def test_a_sharded_model_lets_go_of_its_group(group):
    model = nn.Sequential(nn.Linear(3, 2))
    made = sharded(model)
    dist.destroy_process_group(made())
    gc.collect()
    assert made() is not None
    forget_group(model)
    gc.collect()
    assert made() is None

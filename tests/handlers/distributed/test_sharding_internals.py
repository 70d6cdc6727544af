"""What `fully_shard` does to a module, and how it is undone; one process is group enough."""

import gc
import warnings
import weakref
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from trackside.handlers._model_copy import copy_model
from trackside.handlers._torch_internals import (
    end_sharding,
    forget_group,
    group_timeout,
    reset_of,
    sharding_hidden,
)
from trackside.handlers.averaging._averaged_model import follow_sharding, make_averaged_model
from trackside.handlers.distributed._process_group import DataGroup
from trackside.handlers.distributed._sharded_model import ShardedModel, Sharding
from trackside.handlers.distributed._sharding_checks import modules_held


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


def test_a_part_of_which_all_is_sharded_by_itself_has_no_group_to_let_go_of(group):
    model = nn.Sequential(nn.Linear(3, 2))
    made, of_nothing = sharded(model[0]), sharded(model)
    for each in (made, of_nothing):
        dist.destroy_process_group(each())
    forget_group(model)
    gc.collect()
    assert made() is None


def test_sharding_that_fails_leaves_the_model_as_before(group):
    class Unready(nn.Linear):
        def reset_parameters(self):
            if not self.weight.is_meta:
                raise ZeroDivisionError("no first weights")

    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(3, 2), Unready(2, 2))
    before, parameters = notes_on(model), list(model.parameters())
    with pytest.raises(ZeroDivisionError, match="no first weights"):
        sharded_in(model)
    assert notes_on(model) == before
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))


def test_only_the_parts_of_an_optimizers_state_that_are_like_a_parameter_are_sharded(group):
    model, other = nn.Linear(3, 2), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([*model.parameters(), other])
    (model(torch.ones(4, 3)).sum() + other.sum()).backward()
    optimizer.step()
    of_other = optimizer.state[other]
    whole = optimizer.state[model.weight]["exp_avg"].clone()
    state = SimpleNamespace(model=model, optimizer=optimizer, device=None)
    sharding = ShardedModel(state, DataGroup(timedelta(seconds=30)), Sharding())
    kept = optimizer.state[model.weight]
    assert {name: type(value) for name, value in kept.items()} == {
        "step": torch.Tensor,
        "exp_avg": DTensor,
        "exp_avg_sq": DTensor,
    }
    assert optimizer.state[other] is of_other
    sharding.close(state, [], True, False)
    assert torch.equal(optimizer.state[model.weight]["exp_avg"], whole)


@pytest.mark.parametrize("values", [{"count": 3}, {"count": 3, "mean": torch.zeros(2, 3)}])
def test_without_the_whole_model_states_are_forgotten_where_they_are_sharded(group, values):
    model = nn.Linear(3, 2, bias=False)
    optimizer = torch.optim.SGD(model.parameters())
    optimizer.state[model.weight] = dict(values)
    state = SimpleNamespace(model=model, optimizer=optimizer, device=None)
    sharding = ShardedModel(state, DataGroup(timedelta(seconds=30)), Sharding(whole=False))
    sharding.close(state, [], True, False)
    assert optimizer.state[model.weight] == ({} if "mean" in values else {"count": 3})


def test_sharding_is_hidden_in_a_block_and_as_before_after_it(group):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    plain = notes_on(model)
    sharded(model)
    before = notes_on(model)
    with sharding_hidden(model):
        assert notes_on(model) == plain
    assert notes_on(model) == before
    model(torch.ones(4, 3)).sum().backward()


def test_a_copy_of_a_sharded_model_has_shards_and_no_hooks(group):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    plain = notes_on(model)
    sharded(model)
    copied = copy_model("EMA", model)
    assert notes_on(copied) == plain
    for own, live in zip(copied.parameters(), model.parameters(), strict=True):
        assert type(own).__name__ == type(live).__name__ == "DTensor"
        assert own.to_local().data_ptr() != live.to_local().data_ptr()


@pytest.mark.parametrize("backend", ["gloo", "cuda:gloo"])
def test_the_timeout_of_the_default_group_is_known(monkeypatch, backend):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    waited = timedelta(seconds=17)
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1, timeout=waited)
    try:
        assert group_timeout() == waited
    finally:
        dist.destroy_process_group()


def test_attention_can_make_its_first_weights():
    attention = nn.MultiheadAttention(4, 2)
    with torch.no_grad():
        attention.in_proj_weight.fill_(torch.nan)
    reset_of(attention)()
    assert attention.in_proj_weight.isfinite().all()
    assert reset_of(nn.Tanh()) is None


class Tied(nn.Module):
    """Has one weight under two names."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(4, 3)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.embedding(x))


def sharded_in(model, **options):
    state = SimpleNamespace(model=model, optimizer=None, device=None)
    return ShardedModel(state, DataGroup(timedelta(seconds=30)), Sharding(**options)), state


def test_an_average_of_tied_weights_is_whole_after_each_fit(group):
    model = Tied()
    averaged = make_averaged_model("EMA", model)
    for _ in range(2):
        sharding, state = sharded_in(model)
        follow_sharding(averaged, model)
        tied = averaged.module
        assert type(tied.head.weight) is DTensor
        assert tied.head.weight is tied.embedding.weight
        sharding.close(state, [averaged], True, False)
        assert type(tied.head.weight) is nn.Parameter
        assert tied.head.weight is tied.embedding.weight
        averaged(torch.tensor([1]))


def test_parts_of_the_model_that_handlers_hold_are_collected_once(group, monkeypatch):
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    first = model[0]
    handler = SimpleNamespace(part=first, other=nn.Sequential(first))
    sharding, state = sharded_in(model)
    held = modules_held(SimpleNamespace(handlers=[handler], state=state))
    assert held == [handler.other]
    collected, full_tensor = [], DTensor.full_tensor
    monkeypatch.setattr(
        DTensor, "full_tensor", lambda shard: collected.append(shard.shape) or full_tensor(shard)
    )
    sharding.close(state, [first, *held], True, False)
    assert len(collected) == 2
    assert handler.other[0].weight is model[0].weight
    assert type(first.weight) is nn.Parameter


@pytest.mark.parametrize("whole", [True, False])
def test_after_an_error_a_warning_says_what_the_weights_are(group, whole):
    model = nn.Linear(3, 2)
    integers = torch.__version__ >= "2.13"  # an older one cannot shard a parameter of them
    if integers:
        model.register_parameter("count", nn.Parameter(torch.tensor([7]), requires_grad=False))
    sharding, state = sharded_in(model, whole=whole)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sharding.close(state, [], False, False)
    said = [str(one.message) for one in caught if "not collected" in str(one.message)]
    if whole:
        assert "its floating-point parameters are NaN, others 0; resume" in said[0]
        assert model.weight.isnan().all()
        assert not integers or model.count.item() == 0
    else:
        assert not said
        assert model.weight.is_meta

"""Tensors of which every rank has some rows; one rank is enough for what a state dict has."""

import pytest
import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from trackside.engine.fit_state.plain_data import to_plain_data
from trackside.engine.fit_state.sharded_tensors import (
    StoredTensor,
    has_rows,
    is_sharded,
    loadable,
    sharded_like,
    whole_tensors,
)

NUMBERS = torch.arange(6.0).reshape(3, 2)


@pytest.fixture
def mesh(group):
    return DeviceMesh("cpu", [0])


@pytest.fixture
def by_rows(mesh):
    """A parameter as `fully_shard` leaves it."""
    return torch.nn.Parameter(distribute_tensor(NUMBERS, mesh, [Shard(0)]))


def test_what_has_rows_stays_sharded_in_plain_data_without_its_graph(by_rows):
    saved = to_plain_data({"w": by_rows}, "notes")["w"]
    assert has_rows(saved)
    assert not saved.requires_grad
    assert saved.to_local().data_ptr() == by_rows.to_local().data_ptr()


@pytest.mark.parametrize("placement", [Replicate(), Shard(1)], ids=str)
def test_what_is_distributed_in_another_way_is_whole_in_plain_data(mesh, placement):
    tensor = distribute_tensor(NUMBERS, mesh, [placement])
    assert is_sharded(tensor)
    assert not has_rows(tensor)
    saved = to_plain_data([tensor], "notes")[0]
    assert type(saved) is torch.Tensor
    assert torch.equal(saved, NUMBERS)


def test_all_tensors_of_a_state_become_whole(by_rows):
    stored = StoredTensor([3, 2], torch.float32, lambda first, last: NUMBERS[first:last])
    state = whole_tensors({"rows": by_rows.detach(), "stored": [stored], "plain": NUMBERS, "n": 1})
    assert state["n"] == 1
    for tensor in (state["rows"], state["stored"][0], state["plain"]):
        assert not is_sharded(tensor)
        assert torch.equal(tensor, NUMBERS)


def test_a_tensor_becomes_sharded_or_whole_as_another_one_is(mesh, by_rows):
    stored = StoredTensor([3, 2], torch.float32, lambda first, last: NUMBERS[first:last])
    by_columns = distribute_tensor(NUMBERS, mesh, [Shard(1)])
    for like in (by_rows.detach(), by_columns):
        for tensor in (NUMBERS, stored, like):
            found = sharded_like(like, tensor)
            assert found.placements == like.placements
            assert torch.equal(found.full_tensor(), NUMBERS)
            assert torch.equal(sharded_like(NUMBERS, tensor), sharded_like(NUMBERS, found))


def test_rows_of_a_tensor_share_no_memory_with_it(by_rows):
    source = NUMBERS.clone()
    found = sharded_like(by_rows.detach(), source)
    source.zero_()
    assert torch.equal(found.full_tensor(), NUMBERS)


def test_what_was_stored_is_loaded_as_the_parameters_of_the_models_are(by_rows):
    stored = StoredTensor([3, 2], torch.float32, lambda first, last: NUMBERS[first:last])
    plain, sharded = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    sharded.weight = by_rows
    for models, is_whole in ((), True), ((plain,), True), ((plain, sharded), False):
        [found] = loadable([stored], models)
        assert has_rows(found) is not is_whole
        assert torch.equal(found if is_whole else found.full_tensor(), NUMBERS)
    assert loadable([NUMBERS], [sharded])[0] is NUMBERS

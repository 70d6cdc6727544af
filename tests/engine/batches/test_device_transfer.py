"""Moving a batch to a device: by its own method `to`, or part by part."""

from collections import UserDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from trackside.engine.batches.device_transfer import to_device
from trackside.events.utils.nested import leaves

META = torch.device("meta")
Pair = namedtuple("Pair", "a b")


@dataclass
class Record:
    x: torch.Tensor
    name: str = "a"


class Graph:
    """A graph batch: neither a container nor a tensor."""

    def __init__(self, x):
        self.x = x

    def to(self, device):
        return Graph(self.x.to(device))


class InPlace(Graph):
    """Moves itself and returns nothing."""

    def to(self, device, non_blocking):
        assert non_blocking
        self.x = self.x.to(device)


class Keywords(Graph):
    def to(self, *args, **kwargs):
        return Graph(self.x.to(*args, **kwargs))


class Fixed(Graph):
    def to(self, device):
        raise NotImplementedError("stays here")


@dataclass
class OwnTo(Record):
    def to(self, device, non_blocking=False):
        return OwnTo(self.x.to(device), "moved by itself")


@pytest.mark.parametrize(
    "batch",
    [
        Pair(torch.ones(2), [torch.ones(1), "a"]),
        Record(torch.ones(2)),
        ([[torch.ones(2)], [torch.ones(1), torch.ones(3)]], None),
        UserDict({"input_ids": torch.ones(2)}),
    ],
)
def test_every_tensor_is_moved_and_the_types_stay(batch):
    moved = to_device(batch, META)
    assert type(moved) is type(batch)
    assert all(tensor.is_meta for tensor in leaves(moved, torch.Tensor))


@pytest.mark.parametrize("kind", [Graph, InPlace, Keywords, OwnTo])
def test_an_object_is_moved_by_its_own_method(kind):
    (moved,) = to_device([kind(torch.ones(2))], META)
    assert moved.x.is_meta
    assert getattr(moved, "name", "moved by itself") == "moved by itself"


def test_a_packed_sequence_keeps_its_batch_sizes_on_the_cpu():
    moved = to_device(pack_sequence([torch.ones(3), torch.ones(1)]), META)
    assert type(moved) is PackedSequence
    assert (moved.data.device, moved.batch_sizes.tolist()) == (META, [2, 1, 1])


def test_an_object_that_cannot_be_moved_is_named():
    with pytest.raises(NotImplementedError) as raised:
        to_device({"graph": Fixed(torch.ones(2))}, META)
    assert raised.value.__notes__ == ["trackside moves a Fixed to meta by its method `to`"]


def test_what_has_no_tensors_stays_as_it_is():
    batch = {"a": 1, "b": [None, "text", 2.5], "c": Graph}
    assert to_device(batch, META) == batch


class Odd:
    """Its method `to` tells no signature."""

    to = type


def test_a_method_that_tells_no_signature_gets_the_device_alone():
    assert to_device(Odd(), torch.device("cpu")) is torch.device

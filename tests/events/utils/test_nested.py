from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from trackside.events.utils.nested import (
    are_ragged,
    children,
    leaves,
    map_nested,
    with_children,
)

Output = namedtuple("Output", "logits extra")


class Fields(OrderedDict):
    """A mapping type, like the output of a language model."""


class Fixed(dict):
    """A mapping type that cannot be called with a dict."""

    def __init__(self):
        super().__init__(a=torch.ones(2))


def nested():
    return Output(torch.arange(4), {"list": [torch.arange(8).reshape(4, 2), "text"], "none": None})


def test_map_nested_changes_every_tensor_and_keeps_the_structure():
    mapped = map_nested(lambda tensor: tensor + 1, nested(), only=torch.Tensor)
    assert isinstance(mapped, Output)
    assert mapped.logits.tolist() == [1, 2, 3, 4]
    assert mapped.extra["list"][0].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert mapped.extra["list"][1:] == ["text"]
    assert mapped.extra["none"] is None


def test_map_nested_keeps_the_type_of_a_mapping_if_it_can():
    assert type(map_nested(torch.neg, Fields(a=torch.ones(2)))) is Fields
    assert type(map_nested(torch.neg, Fixed())) is dict


def test_leaves_yields_every_tensor():
    assert [tuple(tensor.shape) for tensor in leaves(nested(), torch.Tensor)] == [(4,), (4, 2)]
    assert list(leaves("text", torch.Tensor)) == []


def test_map_nested_maps_several_values_of_the_same_structure():
    one, other = {"a": [1, 2], "b": (3,)}, {"a": [10, 20], "b": (30,)}
    assert map_nested(lambda x, y: x + y, one, other) == {"a": [11, 22], "b": (33,)}


def test_map_nested_changes_only_some_leaves_of_several_values():
    found = map_nested(torch.add, [torch.ones(1), "a"], [torch.ones(1), "b"], only=torch.Tensor)
    assert (found[0].tolist(), found[1]) == ([2.0], "a")


def test_map_nested_refuses_values_of_another_length():
    with pytest.raises(ValueError, match="zip"):
        map_nested(torch.add, [torch.ones(1)], [torch.ones(1)] * 2)


def test_map_nested_keeps_leaves_of_other_types():
    assert map_nested(str, [1, "a", [2.0, None]], only=int) == ["1", "a", [2.0, None]]


@dataclass
class Example:
    x: torch.Tensor
    names: list = field(default_factory=list)
    length: int = field(init=False, default=0)
    classes: ClassVar[int] = 3


@dataclass(frozen=True)
class Frozen:
    x: torch.Tensor
    late: torch.Tensor = field(init=False)


@dataclass(frozen=True, slots=True)
class Slotted:
    x: torch.Tensor


def test_map_nested_keeps_dataclasses_and_what_they_hold():
    example = Example(torch.ones(2), ["a", torch.ones(1)])
    example.length, example.note = 5, "kept"
    mapped = map_nested(torch.neg, example, only=torch.Tensor)
    assert type(mapped) is Example
    assert (mapped.x.sum(), mapped.names[0], mapped.names[1]) == (-2, "a", -1)
    assert (mapped.length, mapped.note) == (5, "kept")
    assert example.x.sum() == 2


def test_map_nested_changes_a_frozen_dataclass_and_skips_a_field_without_value():
    mapped = map_nested(torch.neg, Frozen(torch.ones(2)))
    assert mapped.x.sum() == -2
    assert not hasattr(mapped, "late")
    assert map_nested(torch.add, Frozen(torch.ones(2)), mapped).x.sum() == 0
    assert map_nested(torch.neg, Slotted(torch.ones(2))).x.sum() == -2


def test_a_class_of_dataclasses_is_a_leaf():
    assert map_nested(lambda leaf: leaf, [Example]) == [Example]
    assert list(leaves(Example)) == [Example]


def test_map_nested_keeps_a_packed_sequence_and_its_batch_sizes():
    packed = pack_sequence([torch.ones(1), torch.ones(3)], enforce_sorted=False)
    mapped = map_nested(torch.Tensor.detach, {"a": packed}, only=torch.Tensor)["a"]
    assert type(mapped) is PackedSequence
    assert mapped.batch_sizes.tolist() == [2, 1, 1]
    assert mapped.sorted_indices.tolist() == [1, 0]


def test_an_instance_of_only_is_changed_though_it_is_a_container():
    assert map_nested(len, [{"a": 1}, (3, 4)], only=dict) == [1, (3, 4)]
    assert list(leaves([{"a": 1}, (3, 4)], only=dict)) == [{"a": 1}]


class Sized(list):
    """A sequence that cannot be called with a list."""

    def __init__(self, first, second):
        super().__init__([first, second])


@pytest.mark.parametrize(
    ("value", "kind"),
    [(Sized(1, 2), list), (torch.ones(3, 2).max(0), torch.return_types.max)],
)
def test_map_nested_keeps_the_type_of_a_sequence_if_it_can(value, kind):
    mapped = map_nested(lambda leaf: leaf * 2, value)
    assert type(mapped) is kind
    assert len(mapped) == 2


@pytest.mark.parametrize("container", [{"a": 1, "b": 2}, Output(1, 2)])
def test_a_container_does_not_take_another_number_of_parts(container):
    assert children(with_children(container, [3, 4])) == [3, 4]
    with pytest.raises((ValueError, TypeError)):
        with_children(container, [3])


def test_an_error_of_the_function_is_raised_and_not_taken_for_one_of_the_type():
    with pytest.raises(TypeError, match="bad operand"):
        map_nested(lambda leaf: -leaf, [{"a": "text"}])


def test_leaves_yields_the_fields_of_a_dataclass():
    assert [len(t) for t in leaves(Example(torch.ones(2), [torch.ones(1)]), torch.Tensor)] == [2, 1]


@pytest.mark.parametrize(
    ("shapes", "ragged"),
    [
        ([(3, 5, 5), (3, 7, 7)], True),
        ([(3, 5, 5), (3, 5, 5)], False),
        ([(4, 3), (4, 5)], False),
        ([(4, 3, 2), (4, 5)], False),
        ([(4, 3, 2), (4, 5, 2), (4,)], False),
        ([], False),
    ],
)
def test_tensors_of_one_number_of_dimensions_and_several_shapes_are_ragged(shapes, ragged):
    assert are_ragged([torch.zeros(shape) for shape in shapes]) is ragged


def test_other_parts_of_a_dataclass_are_its_fields():
    example = Example(torch.ones(2), ["a"])
    changed = with_children(example, [1, 2, 3])
    assert (type(changed), children(changed)) == (Example, [1, 2, 3])
    assert children(example)[1:] == [["a"], 0]

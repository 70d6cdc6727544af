from collections import OrderedDict, namedtuple

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from trackside.engine.batches.batch_parts import is_splittable, join_parts, split_batch

Output = namedtuple("Output", "logits extra")


class Fields(OrderedDict):
    """A custom mapping class, like the output of a language model."""


def test_only_tensors_with_examples_are_split():
    weight = torch.ones(3)
    parts = split_batch({"x": torch.arange(4), "weight": weight, "scalar": torch.tensor(1.0)}, 4, 3)
    assert [part["x"].tolist() for part in parts] == [[0, 1, 2], [3]]
    assert all(part["weight"] is weight for part in parts)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_split_parts_are_joined_again(size):
    value = (torch.arange(4), Fields(deep=[torch.arange(12).reshape(4, 3), None]))
    sizes = [min(size, 4 - start) for start in range(0, 4, size)]
    output = join_parts(split_batch(value, 4, size), sizes)
    assert torch.equal(output[0], value[0])
    assert torch.equal(output[1]["deep"][0], value[1]["deep"][0])
    assert output[1]["deep"][1] is None
    assert type(output[1]) is Fields


def test_scalars_are_averaged_and_other_values_listed():
    parts = [{"loss": torch.tensor(1.0), "name": "a"}, {"loss": torch.tensor(4.0), "name": "b"}]
    output = join_parts(parts, [2, 1])
    assert output["loss"].item() == pytest.approx(2.0)
    assert output["name"] == ["a", "b"]


def test_output_without_examples_raises_with_shapes():
    with pytest.raises(
        ValueError, match=r"outputs of shapes \(3, 2\), \(3, 1\) for parts of 2, 1 ex"
    ):
        join_parts([torch.ones(3, 2), torch.ones(3, 1)], [2, 1])


IMAGES = [torch.full((3, n, n), float(n)) for n in (5, 7, 6)]


def test_lists_of_examples_are_split_and_joined_in_order():
    value = {"images": IMAGES, "names": ["a", "b", "c"], "classes": ["x", "y"]}
    first, second = split_batch(value, 3, 2)
    assert first == {"images": IMAGES[:2], "names": ["a", "b"], "classes": ["x", "y"]}
    assert second["names"] == ["c"]
    detections = [[{"boxes": image} for image in part["images"]] for part in (first, second)]
    assert [entry["boxes"] for entry in join_parts(detections, [2, 1])] == IMAGES


def test_a_list_of_outputs_is_joined_output_by_output():
    parts = [[torch.ones(2, 3), torch.ones(2)], [torch.ones(2, 3), torch.ones(2)]]
    assert [tuple(part.shape) for part in join_parts(parts, [2, 2])] == [(4, 3), (4,)]


@pytest.mark.parametrize(
    "other",
    [(torch.ones(1),), torch.ones(1), None, 3.0],
    ids=["tuple", "tensor", "none", "number"],
)
@pytest.mark.parametrize("first", [True, False])
def test_outputs_of_different_structure_raise(other, first):
    parts = [(torch.ones(2), torch.ones(2)), other]
    with pytest.raises(ValueError, match=r"different structure, .*, for parts of 2, 1 examples"):
        join_parts(parts if first else parts[::-1], [2, 1])


def test_an_output_that_no_part_has_is_none_and_one_that_some_have_is_a_list():
    assert join_parts([None, None], [2, 1]) is None
    assert join_parts([None, "last"], [2, 1]) == [None, "last"]
    assert join_parts(["first", None], [2, 1]) == ["first", None]
    tensor = torch.ones(2)
    assert join_parts([None, tensor], [1, 2]) == [None, tensor]
    assert join_parts([tensor, None], [2, 1]) == [tensor, None]


@pytest.mark.parametrize(
    ("value", "splittable"),
    [
        (torch.ones(3, 2), True),
        ((torch.ones(3, 2), torch.ones(5), "text", None, 2.0), True),
        ((IMAGES,), True),
        (["a", "b", "c"], True),
        (torch.ones(7, 2), False),
        (pack_sequence([torch.ones(1)] * 3), False),
        ((torch.ones(3, 2), object()), False),
        ((), False),
    ],
)
def test_what_can_be_split(value, splittable):
    assert is_splittable(value, 3) is splittable

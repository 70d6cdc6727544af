from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch

from trackside.events.utils.value_description import describe, describe_all, describe_named


class Pair(NamedTuple):
    image: torch.Tensor
    label: int


@dataclass
class Output:
    logits: torch.Tensor
    loss: float | None = None


IMAGES = torch.zeros(8, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (1.5, "float"),
        (IMAGES, "Tensor (8, 3)"),
        ([], "list of 0 ()"),
        ({}, "dict of 0 ()"),
        ((IMAGES, 1), "tuple of 2 (Tensor (8, 3), int)"),
        ({"x": IMAGES}, "dict of x: Tensor (8, 3)"),
        (Pair(IMAGES, 1), "Pair of image: Tensor (8, 3), label: int"),
        (Output(IMAGES), "Output of logits: Tensor (8, 3), loss: None"),
        (Output, "type"),
    ],
)
def test_a_value_is_described_by_its_type_with_its_shape_or_parts(value, text):
    assert describe(value) == text


def test_four_parts_are_shown_and_that_there_are_more():
    assert describe_all([1, 2, 3, 4]) == "int, int, int, int"
    assert describe_all([1, 2, 3, 4, 5]) == describe_all([1] * 9) == "int, int, int, int, …"
    assert describe_named(dict.fromkeys("abcde", 1), "=") == "a=int, b=int, c=int, d=int, …"


def test_a_dataclass_that_lacks_a_field_is_described():
    output = Output(IMAGES)
    del output.logits
    assert describe(output) == "Output of logits: None, loss: None"

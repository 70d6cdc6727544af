import pytest
import torch
from helpers import state_of

from trackside.engine.batches.forward_in_parts import can_be_split, input_shapes


@pytest.mark.parametrize(
    ("xb", "size", "expected"),
    [
        (torch.zeros(2, 5), 2, True),
        (torch.zeros(1, 5), 1, False),
        (torch.zeros(2, 5), 0, False),
        (object(), 2, False),
    ],
)
def test_a_batch_of_several_examples_that_can_be_told_apart_can_be_split(xb, size, expected):
    assert can_be_split(state_of(xb=xb, batch_size=size)) is expected


def test_the_inputs_are_described_by_their_shapes_else_by_their_type():
    assert input_shapes(state_of(xb=(torch.zeros(2, 5), [torch.zeros(3)]))) == "(2, 5) (3,)"
    assert input_shapes(state_of(xb="text")) == "str"

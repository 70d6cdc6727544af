"""How many examples a batch has, whatever it is made of."""

import numpy as np
import pytest
import torch

from trackside.engine.loop.batch import set_batch
from trackside.events import TrainState


class Shaped:
    """Has a shape, and no length."""

    shape = (6, 2)


class Point(torch.Tensor):
    """A tensor of a kind of its own."""


def size_of(xb):
    state = TrainState(model=torch.nn.Identity())
    set_batch(state, (xb, None))
    return state.batch_size


@pytest.mark.parametrize(
    ("xb", "size"),
    [
        (torch.zeros(5, 3), 5),
        (torch.zeros(0, 3), 0),
        (torch.zeros(()), 1),
        (torch.zeros(4, 2, device="meta"), 4),
        (torch.zeros(4, 4).to_sparse(), 4),
        (torch.zeros(3).as_subclass(Point), 3),
        (torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged), 2),
        ((torch.zeros(7, 1), torch.zeros(8, 1)), 7),
        ([torch.zeros(7, 1)], 7),
        ({"ids": torch.zeros(9, 1)}, 9),
        (({"ids": torch.zeros(2)}, 1), 2),
        ((), 0),
        ({}, 1),
        (np.zeros((3, 4)), 3),
        (np.zeros(()), 1),
        (Shaped(), 6),
        ("text", 4),
        (1.5, 1),
        (None, 1),
    ],
)
def test_the_size_of_a_batch_is_the_first_dimension_of_its_first_input(xb, size):
    found = size_of(xb)
    assert (type(found), found) == (int, size)

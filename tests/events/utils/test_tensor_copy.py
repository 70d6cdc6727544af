import pytest
import torch

from trackside.events.utils.tensor_copy import copy_values, expanded_dimensions

FOUR = torch.arange(4.0)


@pytest.mark.parametrize(
    ("target", "source"),
    [
        (torch.zeros(3, 1).expand(3, 4).clone(), torch.ones(3, 1).expand(3, 4)),
        (torch.zeros(1, 4).expand(3, 4), FOUR.expand(3, 4)),
        (torch.zeros(1, 4).expand(3, 4), FOUR.expand(3, 4).clone()),
        (torch.zeros(()).expand(2, 3), torch.ones(2, 3)),
        (torch.zeros(0, 4), torch.ones(0, 4)),
        (torch.zeros(()), torch.ones(())),
        (torch.zeros(3, 3).to_sparse(), torch.eye(3).to_sparse()),
    ],
)
def test_the_target_has_the_values_afterwards(target, source):
    copy_values(target, source)
    assert torch.equal(target.to_dense(), source.to_dense())


def test_dimensions_of_one_element_are_not_expanded():
    assert expanded_dimensions(torch.zeros(1, 1).expand(1, 5)) == [1]
    assert expanded_dimensions(torch.zeros(1, 4)) == []

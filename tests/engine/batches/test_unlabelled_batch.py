"""Predictions for batches that have no target."""

import pytest
import torch
from torch import nn

from trackside.engine import Trainer


class Pair(nn.Module):
    """Needs two inputs."""

    def forward(self, a, b):
        return a + b


class Masked(nn.Module):
    """Takes a second input, and does not need it."""

    def forward(self, x, mask=None, labels=None):
        return x if mask is None else x * mask


class Named(nn.Module):
    """Takes labels."""

    def forward(self, x, labels=None, scale=2):
        return x * scale


def parts(*values):
    return [torch.full((2,), float(value)) for value in values]


@pytest.mark.parametrize("batch", [parts(1, 2), tuple(parts(1, 2)), (parts(1, 2), torch.zeros(2))])
def test_a_model_that_needs_all_parts_of_a_batch_gets_them(batch):
    assert Trainer(Pair()).predict([batch, batch]).tolist() == [3] * 4


def test_a_third_part_is_the_target():
    assert Trainer(Pair()).predict([parts(1, 2, 9)]).tolist() == [3, 3]


def test_a_compiled_model_gets_all_parts_that_it_needs():
    compiled = torch.compile(Pair(), backend="eager")
    assert Trainer(compiled).predict([parts(1, 2)]).tolist() == [3, 3]


def test_a_part_that_the_model_could_take_is_asked_for_once():
    with pytest.warns(UserWarning, match="Masked could take it as 'mask'; say what it is") as said:
        assert Trainer(Masked()).predict([parts(1, 2)] * 3).tolist() == [1] * 6
    assert len(said) == 1
    inputs = Trainer(Masked(), batch=lambda batch: (tuple(batch), None))
    assert inputs.predict([parts(1, 2)]).tolist() == [2, 2]
    labelled = Trainer(Masked(), batch=lambda batch: (tuple(batch[:-1]), batch[-1]))
    assert labelled.predict([parts(1, 2)]).tolist() == [1, 1]


@pytest.mark.parametrize("batch", [parts(1, 2), [torch.ones(2)], torch.ones(2), parts(1, 2, 3)[:1]])
def test_labels_of_a_model_that_takes_them_are_ignored_without_a_warning(batch):
    assert Trainer(Named()).predict([batch]).tolist() == [2, 2]


class OfTorch(nn.Module):
    """Its forward is a function of C++, which does not tell its parameters."""

    forward = staticmethod(torch.neg)


def test_a_model_that_does_not_tell_its_parameters_gets_the_first_part():
    assert Trainer(OfTorch()).predict([parts(1, 2)]).tolist() == [-1, -1]

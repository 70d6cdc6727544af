"""How many examples a batch has, whatever it is made of."""

import dataclasses
import warnings
from collections import UserDict, namedtuple

import numpy as np
import pytest
import torch
from helpers import batches, state_of, trainer_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from trackside.engine import Trainer
from trackside.engine.batches.batch import set_batch
from trackside.engine.batches.example_count import uniform_size
from trackside.handlers import GradientAccumulation, Metrics

Pair = namedtuple("Pair", "a b")


class Shaped:
    """Has a shape, and no length."""

    shape = (6, 2)


class Point(torch.Tensor):
    """A tensor of a kind of its own."""


class Graphs:
    num_graphs = 3
    x = torch.zeros(20, 2)


class TensorDict(dict):
    batch_size = torch.Size([3, 2])


@dataclasses.dataclass
class Record:
    names: list
    x: torch.Tensor


def size_of(batch, **options):
    state = state_of(**options)
    assert set_batch(state, batch) == state.batch_size
    return state.batch_size


def zeros(*shape):
    return torch.zeros(shape)


packed = pack_sequence([zeros(3), zeros(2), zeros(1)])
unsorted = pack_sequence([zeros(1), zeros(2), zeros(3)], enforce_sorted=False)
images = [zeros(3, 5, 5)] * 4


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        ((zeros(5, 3), None), 5),
        ((zeros(5, 3), zeros(5)), 5),
        ((zeros(0, 3), None), 0),
        ((zeros(0, 3), zeros(0)), 0),
        ((zeros(), None), 1),
        ((zeros(), zeros(4)), 4),
        ((zeros(4), zeros()), 4),
        ((torch.zeros(4, 2, device="meta"), None), 4),
        ((zeros(4, 4).to_sparse(), None), 4),
        ((zeros(3).as_subclass(Point), None), 3),
        ((torch.nested.nested_tensor([zeros(2), zeros(3)], layout=torch.jagged), None), 2),
        (([zeros(7, 1)], None), 7),
        ({"ids": zeros(9, 1)}, 9),
        (UserDict({"input_ids": zeros(9, 1)}), 9),
        (({"ids": zeros(2)}, 1), 2),
        ((), 1),
        ({}, 1),
        ((np.zeros((3, 4)), None), 3),
        ((np.zeros(()), None), 1),
        ((np.zeros((3, 4)), np.zeros(3)), 3),
        ((Shaped(), None), 6),
        (("text", None), 1),
        (("text", (zeros(4), zeros(9))), 4),
        ((1.5, None), 1),
        (None, 1),
        (7, 1),
        (["a", "bcd"], 2),
        ((("a", "bcd"), zeros(2)), 2),
        (((["a"] * 4,), zeros(4)), 4),
        ({"file": ["a"] * 4, "y": zeros(4)}, 4),
        ({"file": ("a", "b", "c"), "id": 3}, 3),
        ({"scale": 2.0, "x": zeros(4, 3), "y": zeros(4)}, 4),
        ({"classes": ["a", "b"], "x": zeros(4, 3)}, 4),
        ((images, zeros(4)), 4),
        (((images,), zeros(4)), 4),
        ((images, [{"boxes": zeros(n, 4)} for n in range(4)]), 4),
        ({"images": [zeros(3, 5, 5), zeros(3, 7, 7)], "y": zeros(2)}, 2),
        ({"views": [zeros(4, 5), zeros(4, 5)], "y": zeros(4)}, 4),
        (([[zeros(3), zeros(2)], [zeros(4)]], [1, 0]), 2),
        (packed, 3),
        ((packed, zeros(3)), 3),
        (unsorted, 3),
        (unsorted.to("meta"), 3),
        (Record(["a"] * 4, zeros(4, 3)), 4),
        (Pair(zeros(4, 3), zeros(4)), 4),
        ((Pair(zeros(4, 3), zeros(4)), None), 4),
        (Graphs(), 3),
        ((Graphs(), zeros(3)), 3),
        (TensorDict(a=zeros(3, 2)), 3),
        ((zeros(5, 5), zeros(4, 5), zeros(4)), 4),
        ((zeros(4, 3), (zeros(4), zeros(9))), 4),
        ((zeros(4, 3), {"boxes": zeros(9, 4), "y": zeros(4)}), 4),
    ],
)
def test_the_size_of_a_batch_is_certain(batch, size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = size_of(batch)
    assert (type(found), found) == (int, size)


@pytest.mark.parametrize(
    ("batch", "size", "said"),
    [
        ((zeros(7, 4, 3), zeros(4)), 4, r"input is Tensor \(7, 4, 3\), its target Tensor \(4,\)"),
        ((zeros(7, 4, 3), zeros(20)), 7, r"taken: 7"),
        ((zeros(7, 4), zeros(4)), 4, "taken: 4"),
        ((zeros(7), zeros(4)), 7, "taken: 7"),
        ({"mask": zeros(5, 5), "x": zeros(4, 5)}, 5, "taken: 5"),
        (((zeros(5, 5), zeros(4, 5)), zeros(9)), 5, "taken: 5"),
        (((zeros(7, 1), zeros(8, 1)), None), 7, "taken: 7"),
        (((images,), None), 4, "taken: 4"),
        (object(), 1, "input is object, its target object; taken: 1"),
    ],
)
def test_a_size_that_is_not_certain_is_said_once_with_what_was_taken(batch, size, said):
    state = state_of()
    with pytest.warns(UserWarning, match=said) as warned:
        assert set_batch(state, batch) == size
    assert "Trainer(batch_size=function)" in str(warned[0].message)
    assert set_batch(state, batch) == size  # a second warning would be an error


@pytest.mark.parametrize(
    ("xb", "yb", "size"),
    [
        ((zeros(3, 1), zeros(3)), zeros(3), 3),
        ((zeros(3, 1), zeros(3)), None, 3),
        ({"a": zeros(3, 1), "b": zeros(3)}, zeros(3), 3),
        ((zeros(3),), zeros(4), 0),
        ((zeros(3), zeros(4)), None, 0),
        ((zeros(3), "text"), zeros(3), 0),
        ([zeros(3)], zeros(3), 0),
        (zeros(3, 3), zeros(3), 0),
    ],
)
def test_tensors_of_one_size_in_a_tuple_or_dict_are_told_from_all_else(xb, yb, size):
    assert uniform_size(xb, yb) == size


def test_a_tuple_of_tensors_that_is_its_own_target_has_one_size():
    pair = zeros(3, 1), zeros(3)
    assert uniform_size(pair, pair) == 3


@settings(max_examples=30)
@given(batch=st.integers(1, 9), features=st.integers(1, 9), keys=st.permutations(range(4)))
def test_the_order_of_a_dict_with_one_size_does_not_matter(batch, features, keys):
    parts = [zeros(batch, features), zeros(batch), 2.0, ["a"] * 11]
    assert size_of({str(key): parts[key] for key in keys}) == batch


def test_a_function_says_the_size():
    def in_time_major(batch):
        return batch[0].shape[1]

    net = nn.LSTM(3, 2)
    loss_fn = lambda pred, y: pred[0].mean()  # noqa: E731
    trainer = trainer_of(Metrics(), net=net, loss_fn=loss_fn, batch_size=in_time_major)
    trainer.on("after_loss")(lambda trainer, state: sizes.append(state.batch_size))
    sizes = []
    trainer.fit([(zeros(7, 4, 3), zeros(7, 4)), (zeros(7, 2, 3), zeros(7, 2))])
    assert (sizes, trainer.state.samples) == ([4, 2], 6)


def test_a_handler_may_say_the_size():
    trainer = trainer_of(net=nn.Linear(5, 3))
    trainer.on("begin_train")(
        lambda trainer, state: setattr(state, "count_examples", lambda batch: 2)
    )
    assert trainer.fit(batches(3, size=4)).samples == 6


@pytest.mark.parametrize(
    ("found", "error", "said"),
    [
        (2.0, TypeError, "returned a float; expected the number of examples"),
        (None, TypeError, "returned a NoneType"),
        (-1, ValueError, "returned -1; expected an int from 0"),
    ],
)
def test_a_size_that_is_no_count_is_an_error(found, error, said):
    with pytest.raises(error, match=rf"Trainer\(batch_size=<lambda>\) {said}"):
        trainer_of(batch_size=lambda batch: found).fit(batches())


def test_a_batch_size_that_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"Trainer\(batch_size=32\): found a int; allowed: a func"):
        Trainer(nn.Linear(1, 1), batch_size=32)


class Texts(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))

    def forward(self, texts):
        return torch.tensor([float(len(text)) for text in texts]) * self.w


def test_the_mean_loss_and_accumulated_gradients_are_weighted_by_the_examples():
    loader = [(["a"] * 4, zeros(4)), (["a" * 9] * 2, torch.full((2,), 4.0))]
    squared = nn.MSELoss()
    whole = [([*loader[0][0], *loader[1][0]], torch.cat([loader[0][1], loader[1][1]]))]
    weights = []
    for data, handlers in ((whole, []), (loader, [GradientAccumulation(2)])):
        net = Texts()
        trainer = Trainer(net, squared, torch.optim.SGD([net.w], 0.1), [Metrics(), *handlers])
        state = trainer.fit(data)
        assert state.samples == 6
        assert state.metrics["train_loss"] == pytest.approx(2 * 16 / 6)
        weights.append(net.w.item())
    assert weights[1] == pytest.approx(weights[0])

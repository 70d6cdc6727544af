"""How the outputs of a prediction are joined."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers import batches, trainer_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trackside.engine import Trainer
from trackside.events.utils.nested import map_nested

Output = namedtuple("Output", ["logits", "state"])

sizes = st.lists(st.integers(1, 4), min_size=1, max_size=4)


class Model(nn.Module):
    """Returns whatever a function of the inputs does."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def inputs(sizes):
    numbers = torch.arange(float(sum(sizes))).reshape(-1, 1)
    return list(numbers.split(list(sizes)))


def predict(function, sizes, join="auto"):
    return Trainer(Model(function)).predict(inputs(sizes), join)


def detections(x):
    """As many boxes for an image as its number says."""
    return [{"boxes": row.expand(int(row), 4), "label": int(row)} for row in x]


def outputs(x):
    return Output({"a": x, "b": (x * 2, None)}, [x[:, 0], x.new_zeros(len(x), 2, 2)] + [x] * 7)


def names(x):
    return [f"image {int(row)}" for row in x]


def flat(value):
    if isinstance(value, dict):
        return [flat(part) for part in value.values()]
    if isinstance(value, list | tuple):
        return [flat(part) for part in value]
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.parametrize("join", ["auto", "concatenate"])
@pytest.mark.parametrize("function", [detections, outputs, names], ids=lambda f: f.__name__)
@settings(max_examples=20)
@given(sizes)
def test_the_joined_outputs_are_those_of_all_examples_in_one_batch(function, join, sizes):
    joined = predict(function, sizes, join)
    assert flat(joined) == flat(function(torch.cat(inputs(sizes))))


@pytest.mark.parametrize("function", [detections, outputs, names], ids=lambda f: f.__name__)
@settings(max_examples=20)
@given(sizes)
def test_joined_by_example_there_is_one_output_for_each(function, sizes):
    joined = predict(function, sizes, "examples")
    alone = [function(x) for x in torch.cat(inputs(sizes)).split(1)]
    if function is outputs:
        alone = [map_nested(lambda tensor: tensor[0], each, only=Tensor) for each in alone]
        assert flat(joined) == flat(alone)
    else:
        assert flat(joined) == [flat(each) for [each] in alone]


@pytest.mark.parametrize("join", ["auto", "concatenate", "examples"])
@pytest.mark.parametrize("sizes", [(2, 2), (2, 3), (1,), (2,)])
def test_detections_of_different_images_are_never_joined(sizes, join):
    def two_boxes(x):
        return [{"boxes": row.expand(2, 4)} for row in x]

    joined = predict(two_boxes, sizes, join)
    assert [each["boxes"].unique().tolist() for each in joined] == [[n] for n in range(sum(sizes))]


def test_joined_by_batch_the_outputs_are_as_the_model_returned_them():
    joined = predict(outputs, (2, 3), "batches")
    assert [type(each) for each in joined] == [Output, Output]
    assert flat(joined) == [flat(outputs(x)) for x in inputs((2, 3))]


@pytest.mark.parametrize("join", ["auto", "concatenate"])
def test_ragged_outputs_are_returned_by_batch_with_a_warning(join):
    def padded(x):
        return {"tokens": x.expand(-1, 1 + int(x.max()))}

    with pytest.warns(
        UserWarning, match=r"pred\['tokens'\] has different shapes.*\(2, 2\).*"
    ) as told:
        joined = predict(padded, (2, 2), join)
    assert [warning.filename for warning in told] == [__file__]
    assert [each["tokens"].shape for each in joined] == [(2, 2), (2, 4)]
    assert [len(each["tokens"]) for each in predict(padded, (2, 2), "examples")] == [2, 2, 4, 4]


def test_a_first_dimension_that_is_not_that_of_the_examples_is_not_concatenated_silently():
    def time_first(x):
        return x.T.expand(5, -1)

    with pytest.warns(UserWarning, match=r"first dimension of pred \(5, 2\) is not that of the ex"):
        assert len(predict(time_first, (2, 2))) == 2
    with pytest.warns(UserWarning, match="not that of the examples"):
        assert len(predict(time_first, (2, 2), "examples")) == 2
    assert predict(time_first, (2, 2), "concatenate").shape == (10, 2)


def test_a_list_that_may_be_outputs_or_examples_is_asked_for():
    def two(x):
        return [x, x + 10]

    with pytest.warns(UserWarning, match=r"pred is a list of 2, as many as the batch has examples"):
        assert flat(predict(two, (2, 2))) == flat([two(x) for x in inputs((2, 2))])
    assert [part.shape for part in predict(two, (2, 2), "concatenate")] == [(4, 1), (4, 1)]
    assert [part.shape for part in predict(two, (2, 2), "examples")] == [(2, 1)] * 4
    assert [part.shape for part in predict(two, (2, 1))] == [(3, 1), (3, 1)]


@pytest.mark.parametrize("tensors_in", [0, 2])
def test_a_list_that_may_be_outputs_is_asked_for_whichever_batch_has_tensors(tensors_in):
    def sometimes(x):
        return [x, x] if int(x[0]) == tensors_in else ["a", "b"]

    with pytest.warns(UserWarning, match=r"pred is a list of 2, as many as the batch has examples"):
        assert len(predict(sometimes, (2, 2))) == 2


def test_a_tuple_as_long_as_the_batch_is_several_outputs_where_it_can_be():
    assert [part.shape for part in predict(lambda x: (x, x), (2, 2))] == [(4, 1), (4, 1)]
    assert flat(predict(lambda x: tuple(x[:, 0]), (2, 3))) == [0, 1, 2, 3, 4]


def test_outputs_of_different_structure_are_returned_by_batch():
    def sometimes(x):
        return {"a": x} if len(x) == 2 else {"b": x}

    with pytest.warns(UserWarning, match="pred has not the same parts in every batch"):
        assert [list(each) for each in predict(sometimes, (2, 3))] == [["a"], ["b"]]


@pytest.mark.filterwarnings("ignore:Sparse CSC tensor support is in beta")
def test_a_layout_that_torch_cannot_concatenate_is_returned_by_batch():
    def by_column(x):
        return x.to_sparse_csc()

    with pytest.warns(UserWarning, match="returned is the list of the outputs of each batch"):
        assert len(predict(by_column, (2, 2))) == 2


def test_values_of_a_batch_are_listed_or_repeated_for_its_examples():
    def with_loss(x):
        return {"loss": x.mean(), "logits": x, "name": "a"}

    joined = predict(with_loss, (2, 3))
    assert flat(joined) == [[0.5, 3.0], [[0], [1], [2], [3], [4]], ["a", "a"]]
    each = predict(with_loss, (2, 3), "examples")
    assert [(float(one["loss"]), one["name"]) for one in each] == [(0.5, "a")] * 2 + [(3, "a")] * 3


def test_arrays_stay_arrays():
    joined = predict(lambda x: x.numpy(), (2, 3))
    assert isinstance(joined, np.ndarray)
    assert joined.shape == (5, 1)


def test_bfloat16_outputs_can_be_turned_into_arrays():
    joined = predict(lambda x: {"a": x.bfloat16()}, (2, 3))
    assert joined["a"].numpy().ravel().tolist() == [0, 1, 2, 3, 4]


def test_another_value_of_join_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match=r"predict\(join='concat'\): allowed: 'auto', 'concatena"):
        Trainer(nn.Identity()).predict(None, join="concat")


@dataclass(frozen=True)
class Scores:
    """An output with named parts."""

    logits: torch.Tensor
    boxes: list


def test_a_dataclass_is_joined_part_by_part():
    def scores(x):
        return Scores(x, [row.expand(int(row), 4) for row in x])

    joined = predict(scores, (2, 1))
    assert isinstance(joined, Scores)
    assert joined.logits.tolist() == [[0], [1], [2]]
    assert [len(boxes) for boxes in joined.boxes] == [0, 1, 2]
    assert [each.logits.tolist() for each in predict(scores, (2, 1), "examples")] == [[0], [1], [2]]


class Graph:
    """An output that moves itself."""

    def __init__(self, x):
        self.x, self.moved = x, []

    def to(self, *args, **options):
        self.moved.append((args, options))


def test_an_output_that_moves_itself_is_copied_without_non_blocking():
    graphs = predict(Graph, (2, 1), "batches")
    assert [graph.moved for graph in graphs] == [[((torch.device("cpu"),), {})]] * 2


def test_an_empty_batch_has_no_examples():
    assert predict(lambda x: x, (2, 0, 1)).tolist() == [[0], [1], [2]]
    assert predict(detections, (2, 0, 1), "examples")[2]["label"] == 2


def test_an_error_of_a_prediction_has_the_outputs_that_were_computed_before_it():
    trainer, data = trainer_of(), batches(3)
    whole = trainer.predict(data, join="batches")

    @trainer.on("begin_batch", when=lambda trainer, state: state.batch_index == 2)
    def fail(trainer, state):
        raise ValueError("this batch cannot be read")

    with pytest.raises(ValueError, match="cannot be read") as raised:
        trainer.predict(data)
    assert [*map(torch.equal, raised.value.outputs, whole[:2])] == [True, True]
    assert any("the outputs of the 2 batches before it" in note for note in raised.value.__notes__)


def test_outputs_without_values_are_joined_to_one_without_values():
    inputs = [torch.ones(size, 3, device="meta") for size in (2, 1)]
    joined = Trainer(nn.Linear(3, 2, device="meta")).predict(inputs)
    assert (joined.shape, joined.device.type) == ((3, 2), "meta")

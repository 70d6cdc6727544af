"""What in a batch is input, target and weight."""

import dataclasses
import re
from collections import namedtuple
from typing import NamedTuple

import pytest
import torch
from helpers import trainer_of
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader

from trackside.engine import Trainer

Pair = namedtuple("Pair", "image label")


class Three(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor
    label: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Record:
    x: torch.Tensor
    y: torch.Tensor
    name: str = "a"


class Called(nn.Module):
    """Remembers what it was called with, and returns a tensor of one parameter."""

    def __init__(self, **options):
        super().__init__()
        self.w = nn.Parameter(torch.ones((), **options))

    def forward(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs
        return self.w.expand(4)


def called(batch, /, **options):
    """What the model and the loss are called with for one batch."""
    model, targets = Called(), []

    def loss_fn(pred, *rest):
        targets.extend(rest)
        return pred.mean()

    trainer_of(net=model, loss_fn=loss_fn, **options).fit([batch])
    return model.args, targets


x, y = torch.zeros(4, 3), torch.ones(4)
images = [torch.zeros(3, n, n) for n in (5, 7, 6, 5)]
boxes = [{"boxes": torch.zeros(n, 4)} for n in range(4)]
ragged = [[torch.zeros(3), torch.zeros(2)], [torch.zeros(4)]]
packed = pack_sequence([torch.zeros(3, 2), torch.zeros(1, 2)])
record, pair, three = Record(x, y), Pair(x, y), Three(x, x, y)
two, y3 = torch.ones(2), torch.ones(3)
three_images, three_boxes = images[:3], boxes[:3]
texts = ["a", "bb", "ccc", "d"]


@pytest.mark.parametrize(
    ("batch", "args", "targets"),
    [
        ((x, y), (x,), [y]),
        ([[x, x], y], (x, x), [y]),
        (((x, x), None), (x, x), []),
        (pair, (x,), [y]),
        (three, (three,), [three]),
        ((three, y), (three,), [y]),
        (record, (record,), [record]),
        ((record, y), (record,), [y]),
        (packed, (packed,), []),
        ((packed, two), (packed,), [two]),
        ((images, boxes), (images,), [boxes]),
        ((images, y), (images,), [y]),
        ((three_images, three_boxes), (three_images,), [three_boxes]),
        ((three_images, y3), (three_images,), [y3]),
        ((ragged, None), (ragged,), []),
        ((tuple(texts), y), (texts,), [y]),
        (texts[:1], (texts[:1],), []),
        (texts[:2], (texts[:2],), []),
        (texts, (texts,), []),
    ],
)
def test_inputs_and_targets_by_convention(batch, args, targets):
    found, found_targets = called(batch)
    assert len(found) == len(args)
    assert all(a is b or (a == b and a[0] == "a") for a, b in zip(found, args, strict=True))
    assert all(a is b for a, b in zip(found_targets, targets, strict=True))


def test_default_collate_keeps_the_texts_and_the_inputs_of_an_example_together():
    loader = DataLoader([(text, 1.0) for text in texts], batch_size=4)
    assert called(*loader)[0] == (texts,)
    two = DataLoader([((x[i], y[i]), 1.0) for i in range(4)], batch_size=4)
    assert [part.shape for part in called(*two)[0]] == [x.shape, y.shape]


@pytest.mark.parametrize(
    ("batch", "function", "args", "targets"),
    [
        ((x, y, y), lambda b: (b[0], b[1:]), (x,), [(y, y)]),
        (record, lambda b: (b.x, b.y), (x,), [y]),
        ({"x": x, "y": y}, lambda b: [b["x"], b["y"]], (x,), [y]),
        ([texts, texts], lambda b: ((b[0], b[1]), None), (texts, texts), []),
        ([x, x], lambda b: ([x, x], y), ([x, x],), [y]),
    ],
)
def test_a_function_says_what_is_input_and_target(batch, function, args, targets):
    found, found_targets = called(batch, batch=function)
    assert found == args
    assert found_targets == targets


def test_the_function_is_used_in_validation_and_prediction_and_gets_the_moved_batch():
    seen = []

    def function(batch):
        seen.append(batch.x.device.type)
        return batch.x, batch.y

    model = nn.Linear(3, 1, device="meta")
    loss_fn = lambda pred, target: (pred[:, 0] - target).mean()  # noqa: E731
    trainer = trainer_of(net=model, loss_fn=loss_fn, device="meta", batch=function)
    trainer.fit([record], [record])
    trainer.validate([record])
    assert seen == ["meta"] * 3
    cpu = Trainer(nn.Identity(), batch=lambda b: (b["x"], None))
    assert torch.equal(cpu.predict([{"x": x, "id": 1}]), x)


def test_inputs_that_are_a_dict_are_keywords():
    model = Called()
    trainer_of(net=model, loss_fn=torch.mean, batch=lambda b: ({"a": b}, None)).fit([x])
    assert (model.args, model.kwargs) == ((), {"a": x})


@pytest.mark.parametrize("wrong", [x, (x,), (x, x, x, x), None])
def test_a_function_that_returns_neither_two_nor_three_is_an_error(wrong):
    trainer = trainer_of(net=Called(), loss_fn=torch.mean, batch=lambda batch: wrong)
    with pytest.raises(TypeError, match=r"lambda.* returned .*\(inputs, targets, weight\)"):
        trainer.fit([x])


def test_a_batch_argument_that_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"Trainer.batch='xy'.*found a str; allowed: a function"):
        Trainer(Called(), batch="xy")


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ((x, y, y), r"input was model\(Tensor \(4, 3\), Tensor \(4,\)\) and the target Tensor"),
        (record, r"the batch, Record of x: .* was model\(Record of x: .*\) and the target Record"),
        ({"x": x}, r"dict of x: Tensor \(4, 3\), the input was model\(x=Tensor \(4, 3\)\)"),
        ((images, boxes), r"list of 4 \(Tensor \(3, 5, 5\), .*target list of 4 \(dict"),
    ],
)
def test_a_wrong_call_of_the_model_says_what_was_taken_and_how_to_say_it(batch, said):
    trainer = trainer_of(net=nn.Linear(3, 1))
    with pytest.raises(TypeError) as raised:
        trainer.fit([batch])
    note = raised.value.__notes__[0]
    assert re.search(said, note), note
    assert "Trainer(batch=function)" in note


def test_a_wrong_call_of_the_loss_says_what_was_taken():
    trainer = trainer_of(net=Called(), loss_fn=nn.L1Loss())
    with pytest.raises(AttributeError) as raised:
        trainer.fit([record])
    assert "the target Record of x" in raised.value.__notes__[0]

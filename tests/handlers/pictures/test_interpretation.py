"""What Interpretation finds out about a classifier."""

import math
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shown import CLASSES, classified
from torch import nn
from torch.nn import functional

from trackside import Interpretation, Samples, Trainer
from trackside.handlers.pictures._class_results import Confused


def validated(interpretation, scores, targets, size=4, loss_fn=None):
    """An evaluation of a model that returns its input: the scores themselves."""
    trainer = Trainer(nn.Identity(), loss_fn or nn.CrossEntropyLoss(), handlers=[interpretation])
    trainer.validate([*zip(scores.split(size), targets.split(size), strict=True)])
    return trainer


def scores_of(count, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, classes, generator=generator),
        torch.randint(0, classes, (count,), generator=generator),
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(2, 5), st.integers(1, 9), st.integers(0, 7))
def test_counts_and_worst_are_those_of_a_computation_by_hand(count, classes, size, keep):
    scores, targets = scores_of(count, classes, seed=count)
    found = Interpretation(keep=keep)
    validated(found, scores, targets, size)

    expected = torch.zeros(classes, classes, dtype=torch.long)
    for target, predicted in zip(targets, scores.argmax(1), strict=True):
        expected[target, predicted] += 1
    assert torch.equal(found.confusion, expected)
    losses = functional.cross_entropy(scores, targets, reduction="none")
    order = losses.argsort(descending=True)[:keep].tolist()
    assert [one.index for one in found.worst] == order
    for one in found.worst:
        assert one.loss == pytest.approx(float(losses[one.index]))
        assert torch.equal(one.input, scores[one.index])
        assert one.target == int(targets[one.index])
        assert one.prediction == int(scores[one.index].argmax())
        assert one.probability == pytest.approx(float(scores[one.index].softmax(0).max()))


def test_the_most_confused_pairs_come_first_by_name():
    interpretation = Interpretation(CLASSES)
    assert interpretation.most_confused() == []
    predicted = torch.tensor([0, 1, 1, 1, 2, 2, 0, 0])
    targets = torch.tensor([0, 0, 0, 1, 2, 1, 2, 2])
    validated(interpretation, functional.one_hot(predicted, 3).float(), targets)
    pairs = interpretation.most_confused(2)
    assert {(pair.target, pair.prediction, pair.count) for pair in pairs} == {
        ("zero", "one", 2),
        ("<b>two</b>", "zero", 2),
    }
    assert interpretation.most_confused()[-1] == Confused("one", "<b>two</b>", 1)


def test_pixels_of_a_segmentation_are_counted_and_those_of_no_class_left_out():
    scores = torch.randn(3, 2, 4, 5)
    targets = torch.randint(0, 2, (3, 4, 5))
    targets[0, 0, 0] = 255
    interpretation = Interpretation(keep=2)
    validated(interpretation, scores, targets, 1, nn.CrossEntropyLoss(ignore_index=255))
    assert int(interpretation.confusion.sum()) == 59
    assert interpretation.worst[0].prediction.shape == (4, 5)
    assert interpretation.worst[0].probability is None


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_logits_of_one_output_are_two_classes(shape):
    logits = torch.tensor([-2.0, -1.0, 0.5, 1.0, 3.0, -4.0]).reshape(shape)
    targets = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0]).reshape(shape)
    interpretation = Interpretation(keep=1)
    validated(interpretation, logits, targets, 4, nn.BCEWithLogitsLoss())
    assert interpretation.confusion.tolist() == [[2, 1], [1, 2]]
    assert interpretation.worst[0].probability == pytest.approx(torch.tensor(1.0).sigmoid().item())


def test_probabilities_are_told_from_logits_as_samples_does():
    logits, targets = scores_of(12, 4)
    shown = {}
    for name, scores in (("logits", logits), ("probabilities", logits.softmax(1))):
        interpretation, samples = Interpretation(keep=12), Samples(12)
        trainer = Trainer(nn.Identity(), nn.CrossEntropyLoss(), handlers=[interpretation, samples])
        trainer.validate([(scores, targets)])
        worst = [(one.index, pytest.approx(one.probability)) for one in interpretation.worst]
        assert [one.loss for one in interpretation.worst] == pytest.approx(
            functional.cross_entropy(logits, targets, reduction="none").sort(descending=True)[0]
        )
        examples = samples.pictures["valid"].examples
        shown[name] = worst, [one.prediction for one in examples]
    assert shown["logits"][1] == shown["probabilities"][1]
    assert [i for i, _ in shown["logits"][0]] == [i for i, _ in shown["probabilities"][0]]


def test_a_probability_of_zero_has_a_finite_loss():
    scores, targets = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([1, 0])
    interpretation = Interpretation()
    validated(interpretation, scores, targets)
    first, second = interpretation.worst
    assert (first.index, first.probability) == (0, 1)
    assert 50 < first.loss < 100
    assert second.loss == pytest.approx(math.log(2))


def test_a_single_logit_of_one_output_is_no_probability():
    interpretation = Interpretation()
    validated(
        interpretation,
        torch.tensor([1.0]),
        torch.tensor([1.0]),
        loss_fn=nn.BCEWithLogitsLoss(),
    )
    assert interpretation.worst[0].probability == pytest.approx(torch.tensor(1.0).sigmoid().item())


class Logits(nn.Module):
    """A model whose output has several parts; of its input it takes `x`."""

    def forward(self, x, **others):
        return {"logits": x, "loss": x.sum()}


def test_an_output_of_several_parts_is_refused_until_take_chooses_its_scores():
    batch = torch.eye(2), torch.tensor([0, 0])
    trainer = Trainer(Logits(), handlers=[Interpretation()])
    with pytest.raises(
        TypeError, match=r"the prediction dict of logits: .*Interpretation\(take=function"
    ):
        trainer.validate([batch])
    interpretation = Interpretation(take=lambda state: (state.pred["logits"], state.batch[1]))
    Trainer(Logits(), handlers=[interpretation]).validate([batch])
    assert interpretation.most_confused() == [Confused("0", "1", 1)]


def test_an_error_of_take_has_a_note_of_what_it_was_given():
    trainer = Trainer(Logits(), handlers=[Interpretation(take=lambda state: state.pred["scores"])])
    with pytest.raises(KeyError, match="scores") as caught:
        trainer.validate([(torch.eye(2), torch.tensor([0, 0]))])
    [note] = [one for one in caught.value.__notes__ if "take" in one]
    assert "raised by Interpretation(take=…); state.pred is dict of logits: Tensor (2, 2)" in note


def test_take_must_return_two_values():
    trainer = Trainer(Logits(), handlers=[Interpretation(take=lambda state: state.pred["logits"])])
    with pytest.raises(TypeError, match=r"returned Tensor \(2, 2\); allowed: the prediction and"):
        trainer.validate([(torch.eye(2), torch.tensor([0, 0]))])


def test_inputs_without_a_row_for_each_example_are_not_kept():
    interpretation = Interpretation(take=lambda state: (state.pred["logits"], state.batch[1]))
    trainer = Trainer(Logits(), handlers=[interpretation])
    trainer.validate([({"x": torch.eye(2), "texts": ["a", "b"]}, torch.tensor([0, 0]))])
    assert [(one.index, one.input) for one in interpretation.worst] == [(1, None), (0, None)]


def test_inputs_of_different_lengths_are_kept():
    class Mean(nn.Module):
        def forward(self, x):
            return torch.stack([x.mean(1), -x.mean(1)], 1)

    inputs = [torch.randn(2, length) for length in (3, 5, 4, 5)]
    interpretation = Interpretation(keep=3)
    trainer = Trainer(Mean(), nn.CrossEntropyLoss(), handlers=[interpretation])
    trainer.validate([(x, torch.tensor([0, 1])) for x in inputs])
    rows = [row for x in inputs for row in x]
    assert len(interpretation.worst) == 3
    for one in interpretation.worst:
        assert torch.equal(one.input, rows[one.index])


class ReusedMemory:
    """A loader that yields every batch in the same tensor."""

    def __init__(self, scores, targets):
        self.scores, self.targets = scores, targets
        self.memory = torch.empty(2, scores.shape[1])

    def __iter__(self):
        for start in range(0, len(self.scores), 2):
            self.memory.copy_(self.scores[start : start + 2])
            yield self.memory, self.targets[start : start + 2]


def test_kept_inputs_are_copies_that_a_loader_cannot_change():
    scores, targets = scores_of(6, 3)
    interpretation = Interpretation(keep=6)
    trainer = Trainer(nn.Identity(), nn.CrossEntropyLoss(), handlers=[interpretation])
    trainer.validate(ReusedMemory(scores, targets))
    for one in interpretation.worst:
        assert torch.equal(one.input, scores[one.index])


def test_a_nan_is_the_worst_loss():
    scores, targets = scores_of(6, 3)
    scores[4] = math.nan
    interpretation = Interpretation(keep=2)
    validated(interpretation, scores, targets)
    assert interpretation.worst[0].index == 4


def test_the_pictures_of_an_evaluation_have_its_name():
    trainer, batches = classified(Interpretation(CLASSES, keep=2))
    trainer.fit(batches, batches)
    assert [*trainer.state.pictures] == ["valid_confusion", "valid_worst"]
    trainer.validate(batches[1:], name="test")
    assert [*trainer.state.pictures] == ["test_confusion", "test_worst"]
    picture = trainer.state.pictures["test_confusion"]
    assert picture.classes == tuple(CLASSES)
    assert sum(map(sum, picture.counts)) == 16
    worst = trainer.state.pictures["test_worst"].examples
    assert [type(one.input) for one in worst] == [bytes, bytes]
    assert worst[0].loss >= worst[1].loss
    assert worst[0].target in CLASSES


def test_of_many_classes_those_with_the_most_errors_are_shown():
    scores, targets = torch.eye(60), torch.arange(60)
    targets[50] = 3
    trainer = validated(Interpretation(keep=0), scores, targets)
    picture = trainer.state.pictures["valid_confusion"]
    assert len(picture.classes) == 40
    assert {"3", "50"} < {*picture.classes}


@pytest.mark.parametrize(
    ("scores", "targets", "error", "message"),
    [
        (torch.ones(4, 3), torch.ones(4, 3), TypeError, r"scores \(B, C, …\) of float and classes"),
        (torch.ones(4, 3), torch.ones(4, 2).long(), TypeError, r"Tensor \(4, 2\) of torch.int"),
        (torch.ones(4, 1001), torch.ones(4, dtype=torch.long), ValueError, "1001 classes; allowed"),
        (
            torch.ones(4, 2),
            torch.ones(4, dtype=torch.long),
            ValueError,
            "3 names, and the model has",
        ),
    ],
)
def test_what_is_no_classifier_is_refused_in_the_first_batch(scores, targets, error, message):
    trainer = Trainer(nn.Identity(), lambda pred, y: pred.sum(), handlers=[Interpretation(CLASSES)])
    if scores.shape[1] == 1001:
        trainer = Trainer(nn.Identity(), lambda pred, y: pred.sum(), handlers=[Interpretation()])
    with pytest.raises(error, match=message):
        trainer.validate([(scores, targets)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": -1}, "an int, from 0"),
        ({"classes": "abc"}, "a list of names"),
        ({"take": 1}, "take"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Interpretation(**arguments)


def test_nothing_is_read_from_the_device_in_a_batch():
    trainer, batches = classified(Interpretation())
    trainer.state.model.to("meta")
    trainer.validate([(x.to("meta"), y.to("meta")) for x, y in batches])
    assert trainer.state.pictures == {}


def test_an_evaluation_that_is_resumed_counts_the_batches_before_too():
    def fitted(interpretation, resume=None, stop=None):
        trainer, batches = classified(interpretation)
        saved = []

        @trainer.on("after_batch")
        def save(trainer, state):
            if not state.training and state.batch_index == 1:
                saved.append(deepcopy(interpretation.state_dict()))

        trainer.fit(batches, batches)
        return trainer, batches, saved

    whole = Interpretation(keep=4)
    _, batches, [saved] = fitted(whole)
    other = Interpretation(keep=4)
    trainer, *_ = fitted(other)

    @trainer.on("begin_validate")
    def load(trainer, state):
        other.load_state_dict(saved)

    trainer.validate(batches[2:])
    assert torch.equal(other.confusion, whole.confusion)
    assert [one.index for one in other.worst] == [one.index for one in whole.worst]


def test_a_notebook_shows_the_matrix_and_the_worst_examples():
    interpretation = Interpretation(CLASSES, keep=2)
    assert "no evaluation has ended" in interpretation._repr_html_()
    trainer, batches = classified(interpretation)
    trainer.fit(batches, batches)
    html = interpretation._repr_html_()
    assert html.count("<img") == 2
    assert "target \\ prediction" in html
    assert "<b>two" not in html

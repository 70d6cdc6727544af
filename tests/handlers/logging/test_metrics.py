import copy
import math
import re
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
import torchmetrics
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    raise_at,
    state_of,
    trainer_of,
    weights,
)
from pairs import optimizers_of, pair, trainer_of_two
from torch import nn

from trackside.engine import SUPERVISED
from trackside.events import (
    Cancel,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelValidException,
)
from trackside.handlers import History, Metrics
from trackside.handlers.logging import _pass_totals, _rank_totals


class Correct:
    """The smallest possible metric."""

    def __init__(self):
        self.moved = []
        self.computed = 0
        self.reset()

    def update(self, pred, target):
        assert not pred.requires_grad
        self.right += (pred.argmax(-1) == target).sum()
        self.seen += len(target)

    def compute(self):
        self.computed += 1
        return self.right / self.seen

    def reset(self):
        self.right, self.seen = torch.tensor(0), 0

    def to(self, device):
        self.moved.append(device)
        self.right = self.right.to(device)
        return self


def mean_loss(net, data):
    """The mean loss over all examples at once."""
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    with torch.no_grad():
        return nn.functional.cross_entropy(net(x), y).item()


def accuracy(net, data):
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    with torch.no_grad():
        return (net(x).argmax(-1) == y).double().mean().item()


def test_the_valid_loss_is_the_mean_over_examples_for_any_batch_size():
    data = batches(size=[4, 4, 1])
    trainer = trainer_of(Metrics())
    trainer.fit(batches(), data)
    assert trainer.state.metrics["valid_loss"] == pytest.approx(
        mean_loss(trainer.state.model, data)
    )


def test_the_train_loss_is_weighted_by_batch_size():
    trainer, losses = trainer_of(Metrics()), []
    trainer.on("after_loss")(lambda t, state: losses.append((state.loss.item(), state.batch_size)))
    trainer.fit(batches(size=[4, 4, 1]))
    mean = sum(loss * n for loss, n in losses) / 9
    assert trainer.state.metrics == {"train_loss": pytest.approx(mean)}


def test_metrics_are_python_floats():
    trainer = trainer_of(Metrics(right=Correct()))
    trainer.fit(batches(), batches(2))
    assert sorted(trainer.state.metrics) == [
        "train_loss",
        "train_right",
        "valid_loss",
        "valid_right",
    ]
    assert {type(value) for value in trainer.state.metrics.values()} == {float}


def test_a_metric_is_updated_with_exactly_the_examples_of_its_pass():
    data = batches(size=[4, 2, 3])
    trainer = trainer_of(Metrics(right=Correct()))
    trainer.fit(batches(), data, epochs=3)
    assert trainer.state.metrics["valid_right"] == pytest.approx(
        accuracy(trainer.state.model, data)
    )


def test_a_torchmetrics_metric_works():
    data = batches(5)
    trainer = trainer_of(
        Metrics(accuracy=torchmetrics.classification.MulticlassAccuracy(3, average="micro"))
    )
    trainer.fit(batches(), data, epochs=2)
    expected = pytest.approx(accuracy(trainer.state.model, data))
    assert trainer.state.metrics["valid_accuracy"] == expected
    assert 0 <= trainer.state.metrics["train_accuracy"] <= 1


def test_torchmetrics_collections_and_matrices_are_kept():
    collection = torchmetrics.MetricCollection(
        {"all": torchmetrics.classification.MulticlassAccuracy(3, average="none")}
    )
    matrix = torchmetrics.classification.MulticlassConfusionMatrix(3)
    trainer = trainer_of(Metrics(many=collection, matrix=matrix))
    metrics = trainer.validate(batches(2))
    assert metrics["valid_many_all"].shape == (3,)
    assert metrics["valid_matrix"].sum() == 8
    assert metrics["valid_matrix"].device.type == "cpu"


def test_validate_returns_the_metrics_outside_of_a_fit():
    data = batches(2)
    trainer = trainer_of(Metrics(right=Correct()))
    assert trainer.validate(data) == {
        "valid_loss": pytest.approx(mean_loss(trainer.state.model, data)),
        "valid_right": pytest.approx(accuracy(trainer.state.model, data)),
    }


def test_predict_is_not_counted():
    right = Correct()
    trainer = trainer_of(Metrics(right=right))
    trainer.predict(batches(2))
    assert trainer.state.metrics == {}
    assert right.computed == 0


@pytest.mark.parametrize("signal", ["begin_batch", "after_pred", "after_loss", "begin_step"])
def test_a_cancelled_batch_is_not_counted(signal):
    trainer = trainer_of(Metrics(right=Correct()))

    @trainer.on(signal)
    def cancel_the_second(trainer, state):
        if state.batch_index == 1:
            raise CancelBatchException

    reference = trainer_of(Metrics(right=Correct()))
    data = batches()
    trainer.fit(data)
    reference.fit([data[0], data[2]])
    if signal != "begin_step":  # whose gradients are kept
        assert trainer.state.metrics == reference.state.metrics
    assert trainer.state.metrics["train_right"] * 8 == pytest.approx(
        round(trainer.state.metrics["train_right"] * 8)
    )


def test_a_pass_without_completed_batches_is_not_computed():
    right = Correct()
    trainer = trainer_of(Metrics(right=right))

    @trainer.on("after_loss")
    def cancel_all(trainer, state):
        raise CancelBatchException

    trainer.fit(batches(), batches())
    assert trainer.state.metrics == {}
    assert right.computed == 0


def test_a_cancelled_pass_is_computed_from_its_completed_batches():
    data = batches(3)
    trainer = trainer_of(Metrics())

    @trainer.on("begin_batch")
    def only_two(trainer, state):
        if not state.training and state.batch_index == 2:
            raise CancelValidException

    metrics = trainer.validate(data)
    assert metrics["valid_loss"] == pytest.approx(mean_loss(trainer.state.model, data[:2]))


def test_a_pass_ended_by_a_cancel_of_the_fit_is_not_computed():
    trainer = trainer_of(Metrics())
    trainer.on("begin_batch", when=lambda t, state: state.batch_index == 2)(cancel_fit)
    trainer.fit(batches())
    assert trainer.state.metrics == {}


def cancel_fit(trainer, state):
    raise CancelFitException


def test_a_failed_pass_is_not_computed_and_hides_no_error():
    trainer = trainer_of(Metrics(right=Correct()))

    @trainer.on("after_loss", when=lambda t, state: state.batch_index == 1)
    def fail(trainer, state):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        trainer.fit(batches())
    assert trainer.state.metrics == {}


def test_metrics_are_moved_to_the_predictions_once_a_pass():
    right = Correct()
    trainer_of(Metrics(right=right)).fit(batches(), batches(), epochs=2)
    assert right.moved == [torch.device("cpu")] * 4


def pausing(*handlers):
    """A trainer that validates after the second batch of each epoch, too."""
    trainer = trainer_of(*handlers)

    @trainer.on("after_batch", when=lambda t, state: state.training and state.batch_index == 1)
    def validate_next(trainer, state):
        state.validate_next = True

    return trainer


def test_training_with_a_pause_is_computed_as_one_pass():
    paused, plain = (
        make(Metrics(right=Correct(), f1=torchmetrics.classification.MulticlassF1Score(3)))
        for make in (pausing, trainer_of)
    )
    for trainer in (paused, plain):
        trainer.fit(batches(size=[4, 2, 3]), batches(2), epochs=2)
    assert paused.state.metrics == plain.state.metrics


def test_at_a_pause_the_metrics_cover_the_batches_so_far():
    trainer = pausing(Metrics(right=Correct()))
    seen = []
    trainer.on("after_validate")(lambda t, state: seen.append(dict(state.metrics)))
    losses = []
    trainer.on("after_loss", when=lambda t, state: state.training)(
        lambda t, state: losses.append(state.loss.item())
    )
    trainer.fit(batches(), batches(2))
    assert [metrics["train_loss"] for metrics in seen] == [
        pytest.approx(sum(losses[:2]) / 2),
        pytest.approx(sum(losses) / 3),
    ]
    assert seen[0].keys() == {"train_loss", "train_right", "valid_loss", "valid_right"}


def test_a_pause_that_ends_the_epoch_does_not_affect_the_next():
    trainer = pausing(Metrics(right=Correct()))

    @trainer.on("begin_validate", when=lambda t, state: state.epoch == 0)
    def cancel(trainer, state):
        raise CancelEpochException

    losses = []
    trainer.on("after_loss", when=lambda t, state: state.training and state.epoch == 1)(
        lambda t, state: losses.append(state.loss.item())
    )
    trainer.fit(batches(), batches(2), epochs=2)
    assert trainer.state.metrics["train_loss"] == pytest.approx(sum(losses) / 3)


def test_without_targets_a_metric_gets_only_the_prediction():
    class Sum:
        def update(self, pred):
            self.total += pred.sum()

        def compute(self):
            return self.total

        def reset(self):
            self.total = torch.tensor(0.0)

    trainer = trainer_of(Metrics(sum=Sum()), loss_fn=lambda pred: pred.square().mean())
    metrics = trainer.validate([x for x, _ in batches(2)])
    assert isinstance(metrics["valid_sum"], float)


def test_predictions_in_containers_keep_their_type_and_are_detached():
    Output = namedtuple("Output", "logits extra")
    seen = []

    class Watch(Correct):
        def update(self, pred, target):
            seen.append(pred)

        def compute(self):
            return 1

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model()

        def forward(self, x):
            return Output(self.inner(x), {"list": [self.inner(x), "text"]})

    trainer = trainer_of(
        Metrics(watch=Watch()),
        net=Net(),
        loss_fn=lambda pred, y: nn.functional.cross_entropy(pred.logits, y),
    )
    trainer.fit(batches(1))
    assert isinstance(seen[0], Output)
    assert not seen[0].logits.requires_grad
    assert not seen[0].extra["list"][0].requires_grad
    assert seen[0].extra["list"][1] == "text"
    assert trainer.state.metrics["train_watch"] == 1.0


@dataclass
class Scores:
    """What a model returns."""

    logits: torch.Tensor
    extra: None = None


OUTPUTS = {
    "tuple": (lambda y: (y, None), lambda pred: pred[0]),
    "dict": (lambda y: {"logits": y, "extra": None}, lambda pred: pred["logits"]),
    "dataclass": (Scores, lambda pred: pred.logits),
}


class Wrapped(nn.Module):
    """A model whose output has parts."""

    def __init__(self, wrap):
        super().__init__()
        self.inner, self.wrap = model(), wrap

    def forward(self, x):
        return self.wrap(self.inner(x))


def trainer_with_parts(kind, metrics):
    wrap, logits = OUTPUTS[kind]
    return trainer_of(
        metrics,
        net=Wrapped(wrap),
        loss_fn=lambda pred, y: nn.functional.cross_entropy(logits(pred), y),
    )


@pytest.mark.parametrize("kind", OUTPUTS)
def test_take_chooses_what_the_metrics_get(kind):
    logits = OUTPUTS[kind][1]
    metrics = Metrics(correct=Correct(), take=lambda state: (logits(state.pred), state.yb))
    plain = trainer_of(Metrics(correct=Correct()))
    chosen = trainer_with_parts(kind, metrics)
    for trainer in (plain, chosen):
        trainer.fit(batches(), batches(2))
    assert chosen.state.metrics == plain.state.metrics


def test_take_may_return_the_only_argument():
    trainer = trainer_of(Metrics(mean=torchmetrics.MeanMetric(), take=lambda state: state.pred))
    assert trainer.validate(batches(2)).keys() == {"valid_loss", "valid_mean"}


def test_what_take_returns_is_detached():
    seen = []

    class Watch(Correct):
        def update(self, pred):
            seen.append(pred["logits"].requires_grad)

    metrics = Metrics(watch=Watch(), take=lambda state: {"logits": state.pred})
    trainer_of(metrics).fit(batches(1))
    assert seen == [False]


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("tuple", r"tuple of 2 \(Tensor \(4, 3\), None\), Tensor \(4,\)"),
        ("dict", r"dict of logits: Tensor \(4, 3\), extra: None, Tensor \(4,\)"),
        ("dataclass", r"Scores of logits: Tensor \(4, 3\), extra: None, Tensor \(4,\)"),
    ],
)
def test_a_metric_that_cannot_be_updated_is_named_with_what_it_got(kind, given):
    trainer = trainer_with_parts(kind, Metrics(correct=Correct()))
    with pytest.raises(AttributeError) as raised:
        trainer.fit(batches(1))
    note = (
        rf"Metrics\(correct=…\) called update\({given}\); choose what it gets with Metrics\(…, ta"
    )
    assert re.search(note, "\n".join(raised.value.__notes__))


def test_an_error_in_take_says_what_the_batch_had():
    trainer = trainer_of(Metrics(correct=Correct(), take=lambda state: state.pred["logits"]))
    with pytest.raises(IndexError) as raised:
        trainer.fit(batches(1))
    assert "state.pred is Tensor (4, 3), state.yb is Tensor (4,)" in raised.value.__notes__[0]


@pytest.mark.parametrize("take", [3, Correct()])
def test_take_must_be_a_function(take):
    with pytest.raises(TypeError, match="expected a function of the state"):
        Metrics(take=take)


@pytest.mark.parametrize("sizes", [[4, 0, 4], [0, 4, 4], [4, 4, 0]])
def test_an_empty_batch_does_not_count(sizes):
    trainer = trainer_of(Metrics(correct=Correct()), optimizer=None)
    expected = trainer.validate(batches(size=[4, 4]))
    with pytest.warns(UserWarning, match=r"has no examples: .*Tensor \(0, 5\).*left out"):
        assert trainer.validate(batches(size=sizes)) == expected
    trainer.fit(batches(size=sizes), epochs=2)  # which warns no more
    assert math.isfinite(trainer.state.metrics["train_loss"])


def test_a_pass_of_empty_batches_has_no_loss():
    with pytest.warns(UserWarning, match="has no examples"):
        assert trainer_of(Metrics()).validate(batches(size=[0, 0])) == {}


def test_works_on_a_hand_made_state():
    metrics = Metrics()
    state = state_of(training=True)
    metrics.begin_train(None, state)
    for loss, size in ((1.0, 3), (2.0, 1)):
        state.loss, state.batch_size = torch.tensor(loss), size
        metrics.after_batch(None, state)
    metrics.after_train(None, state)
    assert state.metrics == {"train_loss": 1.25}


def test_the_sum_is_precise_over_many_batches():
    metrics = Metrics()
    state = state_of(batch_size=1, loss=torch.tensor(0.1))
    for _ in range(20_000):
        metrics.after_batch(None, state)
    metrics.after_train(None, state)
    assert state.metrics["train_loss"] == pytest.approx(torch.tensor(0.1).item(), rel=1e-12)


def test_the_end_of_a_pass_that_never_began_reports_nothing():
    metrics, state = Metrics(), state_of()
    metrics.after_train(None, state)
    metrics.after_validate(None, state)
    assert state.metrics == {}


def test_a_loss_that_is_nan_is_reported():
    metrics, state = Metrics(), state_of(batch_size=1, loss=torch.tensor(math.nan))
    metrics.after_batch(None, state)
    metrics.after_validate(None, state)
    assert math.isnan(state.metrics["valid_loss"])


@pytest.mark.parametrize("wrong", [object(), len])
def test_an_object_that_is_not_a_metric_is_refused_by_name(wrong):
    with pytest.raises(TypeError, match=r"Metrics\(accuracy=.*expected an object with update"):
        Metrics(accuracy=wrong)


def test_a_metric_named_loss_is_refused():
    with pytest.raises(ValueError, match="computes the loss itself"):
        Metrics(loss=Correct())


def test_training_is_bitwise_unchanged():
    plain, watched = trainer_of(), trainer_of(Metrics(right=Correct()))
    for trainer in (plain, watched):
        trainer.fit(batches(), batches(), epochs=2)
    assert equal(weights(plain), weights(watched))


def test_no_value_is_read_during_a_pass():
    net = model().to("meta")
    trainer = trainer_of(Metrics(), net=net, device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6
    assert trainer.state.metrics == {}


@every_cancel
@early_or_late
def test_the_next_fit_is_complete_after_any_cancel(signal, scope, early):
    metrics = Metrics(right=Correct())
    trainer = cancelled_fit(metrics, signal, scope, early)
    fresh = trainer_of(Metrics(right=Correct()))
    for again in (trainer, fresh):
        again.state.model.load_state_dict(model().state_dict())
        again.fit(batches(), batches(2))
    assert trainer.state.metrics == fresh.state.metrics


def test_a_pass_whose_begin_was_not_received_does_not_affect_the_next():
    trainer = trainer_of()
    raise_at(trainer, "begin_train", CancelFitException)
    trainer.attach(Metrics())
    trainer.fit(batches())
    trainer.fit(batches())
    assert "train_loss" in trainer.state.metrics


def losses_by_hand(name, data, epochs=1):
    """The mean loss of each epoch of the plain loop of one of the two models."""
    models = pair()
    optimizer, means = optimizers_of(models)[name], []
    for _ in range(epochs):
        total = 0.0
        for x, y in data:
            loss = nn.functional.cross_entropy(models[name](x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            total += loss.item() * len(x)
        means.append(total / sum(len(x) for x, _ in data))
    return means


def test_each_named_update_has_a_mean_loss_of_its_own():
    history, data = History(), batches(size=[4, 4, 2])
    trainer = trainer_of_two(Metrics(), history)
    trainer.fit(data, batches(2), epochs=2)
    for name in ("a", "b"):
        means = [row[f"train_{name}_loss"] for row in history.rows]
        assert means == pytest.approx(losses_by_hand(name, data, 2), rel=1e-6)
    assert "valid_loss" in history.rows[0]
    assert "train_loss" not in history.rows[0]


def test_a_cancelled_update_or_batch_does_not_count_in_the_loss_of_its_name():
    class CancelOne(Cancel):
        scope = "one"

    trainer = trainer_of_two(Metrics())

    @trainer.on("after_loss")
    def cancel(trainer, state):
        if state.of == "a" and state.batch_index == 1:
            raise CancelOne("not this one")

    @trainer.on("begin_step")
    def cancel_batch(trainer, state):
        if state.of == "b" and state.batch_index == 2:
            raise CancelBatchException("not this one")

    data = batches(3)
    trainer.fit(data)
    counted = {name: trainer.state.metrics[f"train_{name}_loss"] for name in ("a", "b")}
    assert counted["a"] == pytest.approx(losses_by_hand("a", data[:1])[0], rel=1e-6)
    assert counted["b"] == pytest.approx(losses_by_hand("b", data[:2])[0], rel=1e-6)


def test_an_update_of_no_name_has_the_loss_of_its_batch():
    def add(state):
        state.pred = sum(net(state.xb) for net in state.models.values())
        return "after_pred"

    def step_both(state):
        for name in state.optimizers:
            state.select(name)
            state.optimizer.step()
        state.select("")
        return "after_step"

    own = {"forward": add, "step": step_both}
    trainer = trainer_of_two(Metrics(), chart=SUPERVISED, activities=own)
    losses = []
    trainer.on("after_loss")(lambda t, state: losses.append(state.loss.item()))
    trainer.fit(batches(3))
    assert trainer.state.metrics == {"train_loss": pytest.approx(sum(losses) / 3)}


@pytest.mark.parametrize("boundary", [1, 2, 3, 4])
def test_the_losses_of_named_updates_resume(boundary):
    whole = trainer_of_two(Metrics())
    whole.fit(batches(3), epochs=2)
    first = trainer_of_two(Metrics())
    run = first.steps(batches(3), epochs=2)
    for transition in run:
        boundary -= transition.trigger == "after_batch"
        if not boundary:
            saved = copy.deepcopy(first.state_dict())
            break
    run.close()
    second = trainer_of_two(Metrics())
    second.fit(batches(3), epochs=2, resume=saved)
    assert second.state.metrics == whole.state.metrics
    assert {*whole.state.metrics} == {"train_a_loss", "train_b_loss"}


def test_detached_from_a_trainer_of_named_optimizers_it_leaves_nothing():
    metrics = Metrics()
    trainer = trainer_of_two(metrics)
    trainer.detach(metrics)
    assert trainer.handlers == []


def test_the_losses_and_rates_of_several_updates_have_names_of_their_own():
    history = History()
    trainer_of_two(Metrics(), history).fit(batches(2), epochs=1)
    row = history.rows[-1]
    alone = dict.fromkeys(("a", "b"), 0.0)
    models = pair()
    optimizers = optimizers_of(models)
    for x, y in batches(2):
        for name in alone:
            loss = nn.functional.cross_entropy(models[name](x), y)
            loss.backward()
            optimizers[name].step()
            optimizers[name].zero_grad()
            alone[name] += loss.item() / 2
    assert (row["lr_a"], row["lr_b"]) == (0.1, 0.01)
    assert row["train_a_loss"] == pytest.approx(alone["a"])
    assert row["train_b_loss"] == pytest.approx(alone["b"])
    assert "train_loss" not in row


class Placed:
    """A metric that keeps where it was moved."""

    def __init__(self):
        self.devices = []

    def update(self, pred, target):
        pass

    def compute(self):
        return 0.0

    def reset(self):
        pass

    def to(self, device):
        self.devices.append(device.type)


@pytest.mark.parametrize("total", [None, torch.tensor(3.0)])
def test_a_rank_that_saw_no_example_exchanges_where_the_others_have_theirs(monkeypatch, total):
    placed, exchanged = Placed(), []
    monkeypatch.setattr(
        _rank_totals, "gather_over_ranks", lambda own, what: [own, ["meta", "meta"]]
    )
    monkeypatch.setattr(_pass_totals, "metric_over_ranks", lambda metric, samples: 0.0)

    def loss_over_ranks(own, samples, device):
        exchanged.append((device if own is None else own.device).type)
        return 0.0

    monkeypatch.setattr(_pass_totals, "loss_over_ranks", loss_over_ranks)
    totals = _pass_totals.PassTotals({"placed": placed})
    totals.total = total
    totals.compute_over_ranks(None)
    assert (exchanged, placed.devices) == (["meta"], ["meta"])

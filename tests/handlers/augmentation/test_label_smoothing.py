import functools

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    equal,
    every_cancel,
    model,
    state_of,
    trainer_of,
    weights,
)
from torch import nn

from trackside.events import AttachError, CancelBatchException
from trackside.handlers import Metrics
from trackside.handlers.augmentation.label_smoothing import LabelSmoothing
from trackside.handlers.augmentation.mixup import MixUp

cross_entropy = nn.functional.cross_entropy
CLASS_WEIGHTS = torch.tensor([1.0, 2.0, 3.0])

LOSSES = [
    (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.2)),
    (
        nn.CrossEntropyLoss(CLASS_WEIGHTS, ignore_index=1, reduction="sum"),
        nn.CrossEntropyLoss(CLASS_WEIGHTS, ignore_index=1, reduction="sum", label_smoothing=0.2),
    ),
    (nn.CrossEntropyLoss(label_smoothing=0.9), nn.CrossEntropyLoss(label_smoothing=0.2)),
    (cross_entropy, functools.partial(cross_entropy, label_smoothing=0.2)),
    (
        functools.partial(cross_entropy, weight=CLASS_WEIGHTS),
        functools.partial(cross_entropy, weight=CLASS_WEIGHTS, label_smoothing=0.2),
    ),
]


@pytest.mark.parametrize(("plain", "smoothed"), LOSSES)
def test_training_equals_torch_label_smoothing_bitwise(plain, smoothed):
    ours, theirs = trainer_of(LabelSmoothing(0.2), loss_fn=plain), trainer_of(loss_fn=smoothed)
    for trainer in (ours, theirs):
        trainer.fit(batches(), epochs=2)
    assert equal(weights(ours), weights(theirs))


@pytest.mark.parametrize(("plain", "smoothed"), LOSSES)
def test_validation_uses_the_original_loss(plain, smoothed):
    ours = trainer_of(LabelSmoothing(0.2), Metrics(), loss_fn=plain)
    theirs = trainer_of(Metrics(), loss_fn=plain)
    assert ours.validate(batches()) == theirs.validate(batches())
    ours.fit(batches(1), batches())
    theirs.state.model.load_state_dict(ours.state.model.state_dict())
    assert ours.state.metrics["valid_loss"] == theirs.validate(batches())["valid_loss"]


def test_class_probability_targets_are_smoothed():
    data = [(x, torch.eye(3)[y]) for x, y in batches()]
    ours = trainer_of(LabelSmoothing(0.2))
    theirs = trainer_of(loss_fn=nn.CrossEntropyLoss(label_smoothing=0.2))
    for trainer in (ours, theirs):
        trainer.fit(data)
    assert equal(weights(ours), weights(theirs))


@pytest.mark.parametrize(
    "handlers", [(LabelSmoothing(0.2), MixUp()), (MixUp(), LabelSmoothing(0.2))]
)
def test_mixup_loss_is_smoothed_in_any_attachment_order(handlers):
    theirs = trainer_of(MixUp(), loss_fn=nn.CrossEntropyLoss(label_smoothing=0.2))
    ours = trainer_of(*handlers)
    for trainer in (ours, theirs):
        trainer.fit(batches())
    assert equal(weights(ours), weights(theirs))


def test_loss_fn_is_not_changed():
    loss_fn = nn.CrossEntropyLoss()
    trainer, seen = trainer_of(LabelSmoothing(), loss_fn=loss_fn), []
    trainer.on("after_loss")(lambda t, state: seen.append(state.loss_fn))
    trainer.fit(batches())
    assert all(used is loss_fn for used in seen)
    assert loss_fn.label_smoothing == 0


def test_loss_fn_is_restored_when_it_fails():
    loss_fn = nn.CrossEntropyLoss()
    trainer = trainer_of(LabelSmoothing(), loss_fn=loss_fn)
    with pytest.raises(IndexError, match="out of bounds"):
        trainer.fit([(torch.ones(1, 5), torch.tensor([7]))])
    assert trainer.state.loss_fn is loss_fn


def test_loss_fn_replaced_during_fit_is_smoothed():
    other = nn.CrossEntropyLoss(CLASS_WEIGHTS)
    ours = trainer_of(LabelSmoothing(0.2))
    theirs = trainer_of(loss_fn=nn.CrossEntropyLoss(label_smoothing=0.2))
    for trainer, loss in (
        (ours, other),
        (theirs, nn.CrossEntropyLoss(CLASS_WEIGHTS, label_smoothing=0.2)),
    ):
        trainer.on("begin_epoch", when=lambda t, s: s.epoch == 1)(
            lambda t, state, loss=loss: setattr(state, "loss_fn", loss)
        )
        trainer.fit(batches(), epochs=2)
    assert equal(weights(ours), weights(theirs))


def test_works_on_a_hand_made_state():
    state = state_of(training=True, loss_fn=cross_entropy)
    pred, target = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0])

    def loss(state):
        state.loss = state.loss_fn(pred, target)
        return "after_loss"

    assert LabelSmoothing(0.3).wrap_loss(loss)(state) == "after_loss"
    assert state.loss == cross_entropy(pred, target, label_smoothing=0.3)
    assert state.loss_fn is cross_entropy


@pytest.mark.parametrize("loss_fn", [nn.MSELoss(), nn.functional.nll_loss, lambda p, y: p.sum()])
def test_other_loss_raises_at_attach(loss_fn):
    trainer = trainer_of(loss_fn=loss_fn)
    with pytest.raises(AttachError, match=r"cannot smooth .*; allowed: nn.CrossEntropyLoss"):
        trainer.attach(LabelSmoothing())
    assert trainer.handlers == []


def test_replaced_other_loss_raises_at_begin_fit():
    trainer = trainer_of(LabelSmoothing())
    trainer.state.loss_fn = nn.MSELoss()
    with pytest.raises(AttachError, match="cannot smooth the targets of MSELoss"):
        trainer.fit(batches())
    assert trainer.state.step == 0


@pytest.mark.parametrize("smoothing", [0, -0.1, 1.1, float("nan")])
def test_smoothing_out_of_range_raises(smoothing):
    with pytest.raises(ValueError, match=r"smoothing=.*allowed: a number above 0, up to 1"):
        LabelSmoothing(smoothing)


def test_no_device_sync():
    trainer = trainer_of(LabelSmoothing(), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


def test_global_generator_is_not_used():
    trainer = trainer_of(LabelSmoothing())
    before = torch.get_rng_state()
    trainer.fit(batches(), batches(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_detach_during_fit_stops_smoothing():
    smoothing = LabelSmoothing()
    trainer, plain = trainer_of(smoothing), trainer_of()
    trainer.on("begin_train")(lambda t, state: t.detach(smoothing))
    for one in (trainer, plain):
        one.fit(batches())
    assert equal(weights(trainer), weights(plain))


def test_cancel_raised_by_the_loss_restores_loss_fn():
    class Cancelling(nn.CrossEntropyLoss):
        def forward(self, pred, target):
            raise CancelBatchException(f"smoothing {self.label_smoothing}")

    loss_fn = Cancelling()
    trainer, reasons = trainer_of(LabelSmoothing(0.2), loss_fn=loss_fn), []
    trainer.on("after_cancel_batch")(lambda t, state: reasons.append(state.cancel.reason))
    trainer.fit(batches(1), batches(1))
    assert reasons == ["smoothing 0.2", "smoothing 0.0"]
    assert trainer.state.loss_fn is loss_fn


@every_cancel
def test_any_cancel_restores_loss_fn(signal, scope):
    trainer = cancelled_fit(LabelSmoothing(), signal, scope, early=False)
    assert trainer.state.loss_fn.label_smoothing == 0

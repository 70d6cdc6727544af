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
from nets import undisturbed
from torch import nn

from trackside.handlers import Metrics
from trackside.handlers.augmentation.batch_transform import BatchTransform


def doubled(xb, yb):
    return xb * 2, yb


def test_training_equals_training_on_transformed_batches():
    ours, theirs = trainer_of(BatchTransform(doubled)), trainer_of()
    ours.fit(batches(), epochs=2)
    theirs.fit([(x * 2, y) for x, y in batches()], epochs=2)
    assert equal(weights(ours), weights(theirs))


def test_targets_are_transformed():
    ours = trainer_of(BatchTransform(lambda xb, yb: (xb, (yb + 1) % 3)))
    theirs = trainer_of()
    ours.fit(batches())
    theirs.fit([(x, (y + 1) % 3) for x, y in batches()])
    assert equal(weights(ours), weights(theirs))


@pytest.mark.parametrize(("training_only", "factor"), [(True, 1), (False, 2)])
def test_validation_and_prediction_are_changed_only_on_request(training_only, factor):
    trainer = trainer_of(BatchTransform(doubled, training_only=training_only), Metrics())
    plain = trainer_of(Metrics())
    changed = [(x * factor, y) for x, y in batches()]
    assert trainer.validate(batches()) == plain.validate(changed)
    assert torch.equal(trainer.predict(batches()), plain.predict(changed))


def test_batch_without_targets_has_yb_none():
    seen = []

    def change(xb, yb):
        seen.append(yb)
        return xb, yb

    trainer_of(BatchTransform(change), loss_fn=lambda pred: pred.sum()).fit(
        [x for x, _ in batches()]
    )
    assert seen == [None] * 3


def test_function_gets_tensors_on_the_device():
    seen = []

    def change(xb, yb):
        seen.append((xb.device.type, yb.device.type))
        return xb, yb

    net = model().to("meta")
    trainer_of(BatchTransform(change), net=net, device="meta").fit(batches(1))
    assert seen == [("meta", "meta")]


def test_function_can_be_a_module():
    class Noise(nn.Module):
        def forward(self, xb, yb):
            return xb + 1, yb

    state = state_of(training=True, xb=torch.zeros(2), yb=1)
    BatchTransform(Noise()).begin_batch(None, state)
    assert state.xb.tolist() == [1, 1]


def test_batch_of_the_loader_is_not_changed():
    trainer, seen = trainer_of(BatchTransform(doubled)), []
    trainer.on("after_batch")(lambda t, state: seen.append(state.batch))
    data = batches(1)
    trainer.fit(data)
    assert seen[0] is data[0]


def test_several_transforms_run_in_attachment_order():
    state = state_of(training=True, xb=1, yb=None)
    trainer = trainer_of(
        BatchTransform(lambda x, y: (x * 10, y)), BatchTransform(lambda x, y: (x + 5, y))
    )
    for handler in trainer.handlers:
        handler.begin_batch(trainer, state)
    assert state.xb == 15
    assert [line.split()[1] for line in trainer.explain("begin_batch").splitlines()[1:]] == [
        "BatchTransform.begin_batch:"
    ] * 2


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (torch.zeros(2), "a Tensor"),
        (None, "a NoneType"),
        ((1, 2, 3), "a tuple of 3"),
        ([1], "a list of 1"),
    ],
)
def test_result_that_is_not_a_pair_raises(result, what):
    def change(xb, yb):
        return result

    trainer = trainer_of(BatchTransform(change))
    with pytest.raises(TypeError, match=f"change returned {what}; expected a pair"):
        trainer.fit(batches())


def test_function_that_is_not_callable_raises():
    with pytest.raises(TypeError, match=r"BatchTransform\(3\): expected a function"):
        BatchTransform(3)


def test_no_device_sync():
    trainer = trainer_of(BatchTransform(doubled), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


def test_detach_during_fit_stops_the_transform():
    transform = BatchTransform(doubled)
    trainer, plain = trainer_of(transform), trainer_of()
    trainer.on("begin_train")(lambda t, state: t.detach(transform))
    for one in (trainer, plain):
        one.fit(batches())
    assert equal(weights(trainer), weights(plain))


@every_cancel
def test_any_cancel_with_an_identity_transform_changes_nothing(signal, scope):
    trainer = cancelled_fit(BatchTransform(lambda xb, yb: (xb, yb)), signal, scope, early=False)
    assert equal(weights(trainer), undisturbed(signal, scope))

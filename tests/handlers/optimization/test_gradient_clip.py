import math

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
from pairs import CHART, pair, trainer_of_two, weights_of
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm

from trackside import Trainer
from trackside.handlers import GradientClip, History, ValidateEvery


def gradients(trainer):
    return [p.grad.clone() for p in trainer.state.model.parameters()]


def seen_at_step(trainer, read):
    values = []
    trainer.on("after_step")(lambda t, state: values.append(read(t)))
    return values


def test_total_norm_is_limited():
    trainer = trainer_of(GradientClip(max_norm=0.01))
    norms = seen_at_step(trainer, lambda t: get_total_norm(gradients(t)).item())
    trainer.fit(batches())
    assert norms == pytest.approx([0.01] * 3, rel=1e-3)


def test_norm_type_selects_the_norm():
    trainer = trainer_of(GradientClip(max_norm=0.01, norm_type=math.inf))
    greatest = seen_at_step(trainer, lambda t: max(g.abs().max().item() for g in gradients(t)))
    trainer.fit(batches())
    assert greatest == pytest.approx([0.01] * 3, rel=1e-3)


def test_each_element_is_limited():
    trainer = trainer_of(GradientClip(value=0.01))
    greatest = seen_at_step(trainer, lambda t: max(g.abs().max().item() for g in gradients(t)))
    trainer.fit(batches())
    assert greatest == pytest.approx([0.01] * 3)


def test_small_gradients_are_not_changed():
    plain, clipped = trainer_of(), trainer_of(GradientClip(max_norm=1e6))
    for trainer in (plain, clipped):
        trainer.fit(batches(), epochs=2)
    assert equal(weights(plain), weights(clipped))


@pytest.mark.parametrize(
    ("limits", "clip"),
    [
        ({"max_norm": 0.1}, lambda parameters: clip_grad_norm_(parameters, 0.1)),
        ({"value": 0.05}, lambda parameters: clip_grad_value_(parameters, 0.05)),
    ],
)
def test_training_equals_a_manual_loop_bitwise(limits, clip):
    trainer = trainer_of(GradientClip(**limits))
    trainer.fit(batches(), epochs=2)
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in batches() * 2:
        torch.nn.functional.cross_entropy(net(x), y).backward()
        clip(list(net.parameters()))
        optimizer.step()
        optimizer.zero_grad()
    assert equal(weights(trainer), net.parameters())


def test_only_parameters_of_the_optimizer_are_clipped():
    net = model()
    first, *others = net.parameters()
    optimizer = torch.optim.SGD([{"params": [p]} for p in others], lr=0.1)
    state = state_of(model=net, optimizer=optimizer)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    GradientClip(value=0.5).begin_step(None, state)
    assert first.grad.max() == 1
    assert {parameter.grad.max().item() for parameter in others} == {0.5}


def test_parameters_without_gradient_are_skipped():
    net = model()
    state = state_of(model=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    GradientClip(max_norm=1.0).begin_step(None, state)
    GradientClip(value=1.0).begin_step(None, state)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_mean_norm_before_clipping_is_reported_after_each_pass():
    history = History()
    trainer = trainer_of(history, GradientClip(max_norm=0.01))
    norms = []
    trainer.on("after_backward")(lambda t, state: norms.append(get_total_norm(gradients(t)).item()))
    trainer.fit(batches(), batches(1), epochs=2)
    expected = [pytest.approx(sum(norms[:3]) / 3), pytest.approx(sum(norms[3:]) / 3)]
    assert [row["grad_norm"] for row in history.rows] == expected


def test_a_pass_that_pauses_for_a_validation_has_one_mean_norm():
    plain, paused = trainer_of(GradientClip(0.1)), trainer_of(GradientClip(0.1), ValidateEvery(1))
    for trainer in (plain, paused):
        trainer.fit(batches(), batches(1))
    assert paused.state.metrics["grad_norm"] == plain.state.metrics["grad_norm"]


def test_the_norm_of_a_named_optimizer_is_reported_under_its_name():
    two = pair()
    clips = [GradientClip(0.1, of=name) for name in two]
    trainer = trainer_of_two(*clips, models=two)
    trainer.fit(batches(2))
    assert {f"grad_norm_{name}" for name in two} <= trainer.state.metrics.keys()


def test_of_two_optimizers_the_one_with_a_closure_is_clipped_by_its_name():
    def fitted(*handlers):
        models = pair()
        optimizers = {
            "a": torch.optim.LBFGS(models["a"].parameters(), lr=0.1, max_iter=2),
            "b": torch.optim.SGD(models["b"].parameters(), lr=0.1),
        }
        loss_fn = torch.nn.CrossEntropyLoss()
        trainer = Trainer(
            handlers=handlers, models=models, optimizers=optimizers, chart=CHART, loss_fn=loss_fn
        )
        trainer.fit(batches(2))
        return trainer

    clipped, plain = fitted(GradientClip(1e-3, of="a")), fitted()
    assert not equal(weights_of(clipped, "a"), weights_of(plain, "a"))
    assert equal(weights_of(clipped, "b"), weights_of(plain, "b"))


def test_without_a_norm_none_is_reported():
    trainer = trainer_of(GradientClip(value=0.1))
    trainer.fit(batches())
    assert "grad_norm" not in trainer.state.metrics


def test_a_pass_without_a_step_has_no_norm():
    trainer = trainer_of(GradientClip(0.1))
    trainer.fit([], epochs=0)
    assert trainer.state.metrics == {}


@pytest.mark.parametrize("limits", [{}, {"max_norm": 1.0, "value": 1.0}])
def test_exactly_one_limit_is_required(limits):
    with pytest.raises(TypeError, match="give exactly one of the two"):
        GradientClip(**limits)


@pytest.mark.parametrize("limits", [{"max_norm": 0.0}, {"value": -1}, {"max_norm": math.nan}])
def test_limit_must_be_above_zero(limits):
    with pytest.raises(ValueError, match="allowed: a number above 0"):
        GradientClip(**limits)


def test_norm_type_must_be_above_zero():
    with pytest.raises(ValueError, match="norm_type=0"):
        GradientClip(max_norm=1.0, norm_type=0)


@pytest.mark.parametrize("limits", [{"max_norm": 0.1}, {"value": 0.1}])
def test_no_device_sync(limits):
    trainer = trainer_of(GradientClip(**limits), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
def test_any_cancel_gives_the_weights_without_the_handler(signal, scope):
    idle = cancelled_fit(GradientClip(max_norm=1e6), signal, scope, early=False)
    plain = cancelled_fit(Nothing(), signal, scope, early=False)
    assert equal(weights(idle), weights(plain))


class Nothing:
    def after_fit(self, trainer, state):
        pass

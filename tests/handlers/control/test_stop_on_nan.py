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
from pairs import poison, trainer_of_two

from trackside.events import CancelFitException
from trackside.handlers import GradientAccumulation, GradientClip, StopOnNaN


def poisoned(*at, by="loss", value=math.nan):
    """A trainer whose loss or gradients are not finite in some batches."""
    trainer = trainer_of()

    @trainer.on("after_loss" if by == "loss" else "after_backward")
    def poison(trainer, state):
        if not state.training or state.batch_index not in at:
            return
        if by == "loss":
            state.loss = state.loss * value
        else:
            state.model[0].weight.grad[0, 0] = value

    return trainer


def finite(trainer):
    return all(w.isfinite().all() for w in weights(trainer))


def test_without_the_handler_the_weights_become_nan():
    trainer = poisoned(1)
    trainer.fit(batches())
    assert not finite(trainer)


@pytest.mark.parametrize("by", ["loss", "gradients"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_fit_ends_before_a_step_with_bad_values(by, value):
    trainer = poisoned(1, by=by, value=value)
    trainer.attach(StopOnNaN())
    trainer.fit(batches(), epochs=3)
    assert trainer.state.phase == "cancelled"
    assert (trainer.state.epoch, trainer.state.step) == (0, 1)
    assert finite(trainer)


@pytest.mark.parametrize("by", ["loss", "gradients"])
def test_the_reason_has_the_cause_and_place(by):
    trainer = poisoned(1, by=by)
    trainer.attach(StopOnNaN())
    trainer.fit(batches())
    assert trainer.state.cancel.reason == (
        f"non-finite {by} in epoch 1, batch 2; the weights are those of step 1"
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_it_checks_before_the_gradients_are_clipped(order):
    handlers = [GradientClip(value=1.0), StopOnNaN()]
    trainer = poisoned(1, by="gradients", value=math.inf)
    for i in order:
        trainer.attach(handlers[i])
    trainer.fit(batches())
    assert trainer.state.cancel.reason.startswith("non-finite gradients")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_bad_accumulated_batch_is_detected_before_its_step(order):
    handlers = [GradientAccumulation(3), StopOnNaN()]
    trainer = poisoned(0)
    for i in order:
        trainer.attach(handlers[i])
    trainer.fit(batches())
    assert trainer.state.step == 0
    assert finite(trainer)


def test_with_fewer_checks_the_next_check_detects_it():
    trainer = poisoned(0)
    trainer.attach(StopOnNaN(every=3))
    trainer.fit(batches(9))
    assert trainer.state.batch_index == 2
    assert not finite(trainer)


def test_finite_gradients_with_an_overflowing_norm_are_accepted():
    net = model()
    state = state_of(
        model=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), loss=torch.tensor(1.0)
    )
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 1e38)
    StopOnNaN().begin_step(None, state)
    net[0].bias.grad[3] = math.inf
    with pytest.raises(CancelFitException, match="non-finite gradients"):
        StopOnNaN().begin_step(None, state)


def test_parameters_without_a_gradient_are_ignored():
    net = model()
    state = state_of(
        model=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), loss=torch.tensor(1.0)
    )
    StopOnNaN().begin_step(None, state)


def test_a_validation_is_not_checked():
    trainer = trainer_of(StopOnNaN())
    trainer.fit(batches(), [(x * math.nan, y) for x, y in batches()], epochs=2)
    assert trainer.state.phase == "completed"


@pytest.mark.parametrize(("every", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError)])
def test_wrong_values_of_every_are_refused(every, error):
    with pytest.raises(error, match=r"StopOnNaN\(every="):
        StopOnNaN(every)


def test_training_is_bitwise_unchanged():
    plain, guarded = trainer_of(), trainer_of(StopOnNaN())
    for trainer in (plain, guarded):
        trainer.fit(batches(), batches(), epochs=2)
    assert equal(weights(plain), weights(guarded))


class Nothing:
    def after_fit(self, trainer, state):
        pass


@every_cancel
def test_after_any_cancel_the_weights_equal_those_without_it(signal, scope):
    guarded = cancelled_fit(StopOnNaN(), signal, scope, early=False)
    plain = cancelled_fit(Nothing(), signal, scope, early=False)
    assert equal(weights(guarded), weights(plain))


@pytest.mark.parametrize("of", ["a", "b"])
def test_the_steps_of_each_of_several_optimizers_are_counted_by_themselves(of):
    trainer = trainer_of_two(StopOnNaN(every=2))
    poison(trainer, of, 3)
    assert trainer.fit(batches(6)).outcome == "cancelled"
    assert trainer.state.batch_index == 3


@pytest.mark.parametrize(("of", "outcome"), [("a", "cancelled"), ("b", "completed")])
def test_of_one_optimizer_only_its_steps_are_checked(of, outcome):
    trainer = trainer_of_two(StopOnNaN(of=of))
    poison(trainer, "a", 1)
    assert trainer.fit(batches(3)).outcome == outcome


def test_a_second_fit_counts_the_steps_of_each_from_its_beginning():
    trainer = trainer_of_two(StopOnNaN(every=2))
    trainer.fit(batches(3))
    poison(trainer, "b", 1)
    assert trainer.fit(batches(3)).outcome == "cancelled"

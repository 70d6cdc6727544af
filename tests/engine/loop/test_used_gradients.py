"""Gradients that a step has used are gone, whatever is raised before they were cleared."""

import contextlib
import signal

import pytest
import torch
from helpers import batches, equal, model, state_of, trainer_of, weights
from torch import nn

from trackside.engine.loop.used_gradients import clear_if_used
from trackside.events import (
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
)
from trackside.handlers import GradientAccumulation

DATA = batches(4)
AT = (0, 1)


def by_hand(cancelled=None):
    """The weights after two epochs; the epoch ends after batch AT unless only it is cancelled."""
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for epoch in range(2):
        for index, (xb, yb) in enumerate(DATA):
            nn.functional.cross_entropy(net(xb), yb).backward()
            optimizer.step()
            optimizer.zero_grad()
            if (epoch, index) == AT and cancelled is not CancelBatchException:
                break
    return [parameter.detach() for parameter in net.parameters()]


def gradients(trainer):
    return [p.grad for p in trainer.state.model.parameters() if p.grad is not None]


def at_step(trainer, function):
    """Call `function(trainer)` at `after_step` of batch AT."""

    def after_step(trainer, state):
        if (state.epoch, state.batch_index) == AT:
            function(trainer)

    trainer.on("after_step")(after_step)
    return trainer


def raising(error):
    def fail(trainer):
        raise error

    return fail


KINDS = [CancelBatchException, CancelTrainException, CancelEpochException]


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancel_after_the_step_does_not_apply_gradients_twice(kind):
    trainer = at_step(trainer_of(), raising(kind("enough")))
    trainer.fit(DATA, epochs=2)
    assert equal(weights(trainer), by_hand(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancel_requested_at_the_step_does_not_apply_gradients_twice(kind):
    trainer = at_step(trainer_of(), lambda trainer: trainer.request(kind("enough")))
    trainer.fit(DATA, epochs=2)
    assert equal(weights(trainer), by_hand(kind))


@pytest.mark.parametrize("kind", [*KINDS, CancelStepException])
def test_a_wrap_of_the_step_that_raises_after_it_does_not_apply_gradients_twice(kind):
    def raise_after(step):
        def call(state):
            trigger = step(state)
            if (state.epoch, state.batch_index) == AT:
                raise kind("after the step")
            return trigger

        return call

    trainer = trainer_of()
    trainer.wrap("step", raise_after)
    trainer.fit(DATA, epochs=2)
    assert equal(weights(trainer), by_hand(CancelBatchException if kind not in KINDS else kind))


def test_a_wrap_of_the_step_that_raises_before_it_keeps_the_gradients():
    def skip_the_first(step):
        def call(state):
            if (state.epoch, state.batch_index) == (0, 0):
                raise CancelStepException("not yet")
            return step(state)

        return call

    trainer, found = trainer_of(), []
    trainer.wrap("step", skip_the_first)
    trainer.on("after_batch")(lambda trainer, state: found.append(len(gradients(trainer)) > 0))
    trainer.fit(DATA)
    assert found == [True, False, False, False]


@pytest.mark.parametrize("signal_name", ["after_cancel_batch", "after_batch"])
def test_used_gradients_are_gone_before_the_closing_signals(signal_name):
    trainer, found = at_step(trainer_of(), raising(CancelBatchException("enough"))), []
    trainer.on(signal_name)(lambda trainer, state: found.append(len(gradients(trainer))))
    trainer.fit(DATA)
    assert {*found} == {0}


@pytest.mark.parametrize(
    "stop",
    [
        raising(CancelFitException("enough")),
        raising(ValueError("bad")),
        lambda trainer: signal.raise_signal(signal.SIGINT),
    ],
)
def test_a_fit_that_ends_after_a_step_leaves_no_used_gradients(stop):
    trainer = at_step(trainer_of(), stop)
    with contextlib.suppress(ValueError, KeyboardInterrupt):
        trainer.fit(DATA)
    assert (trainer.state.step, gradients(trainer)) == (2, [])


def test_a_break_out_of_the_steps_after_a_step_leaves_no_used_gradients():
    trainer = trainer_of()
    for transition in trainer.steps(DATA):
        if transition.trigger == "after_step":
            break
    assert (trainer.state.step, gradients(trainer)) == (1, [])


def test_a_state_saved_after_such_a_cancel_resumes_alike():
    trainer = at_step(trainer_of(), raising(CancelBatchException("enough")))
    run = trainer.steps(DATA, epochs=2)
    for transition in run:
        if transition.trigger == "after_batch" and trainer.state.batch_index == AT[1]:
            saved = trainer.state_dict()
            break
    resumed = trainer_of()
    resumed.fit(DATA, epochs=2, resume=saved)
    assert equal(weights(resumed), by_hand(CancelBatchException))


def test_accumulation_starts_afresh_after_a_cancel_at_its_step():
    """What wraps the clearing is done, too."""
    trainer = at_step(trainer_of(GradientAccumulation(2)), raising(CancelBatchException("enough")))
    trainer.fit(DATA, epochs=2)
    plain = trainer_of(GradientAccumulation(2))
    plain.fit(DATA, epochs=2)
    assert equal(weights(trainer), weights(plain))


def test_an_interrupt_of_the_clearing_is_raised_from_the_error_of_the_step():
    def step(state):
        state.step += 1
        raise ValueError("of a wrap, after the update")

    def clear(state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        clear_if_used(step, clear)(state_of())
    assert str(caught.value.__cause__) == "of a wrap, after the update"

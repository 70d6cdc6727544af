"""A row that nobody receives, to a phase that does no work, is made in one step with the next."""

import sys
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from trackside.engine import Trainer
from trackside.engine.statechart.compiled_table import Always
from trackside.events import CancelBatchException

BATCHES = [(torch.zeros(2, 3), torch.zeros(2, 1))] * 3


def trainer_of(loss_fn=nn.functional.mse_loss):
    model = nn.Linear(3, 1)
    return Trainer(model, loss_fn, torch.optim.SGD(model.parameters(), 0.1))


@contextmanager
def entered_without_work():
    """The triggers of the phases without work whose activity runs."""
    triggers = []

    def profile(frame, event, argument):
        if event == "call" and frame.f_code is Always.__call__.__code__:
            triggers.append(frame.f_locals["self"].trigger)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield triggers
    finally:
        sys.setprofile(before)


def test_phases_without_work_are_passed_while_nobody_receives_the_signals_that_lead_there():
    with entered_without_work() as triggers:
        trainer_of().fit(BATCHES)
    assert triggers == []


@pytest.mark.parametrize(
    ("signal", "phase", "then"),
    [
        ("after_loss", "scored", "begin_backward"),
        ("after_backward", "differentiated", "begin_step"),
    ],
)
def test_a_receiver_finds_the_phase_without_work_live(signal, phase, then):
    trainer = trainer_of()
    phases = []
    trainer.on(signal)(lambda trainer, state: phases.append(state.phase.rpartition(".")[2]))
    with entered_without_work() as triggers:
        trainer.fit(BATCHES)
    assert phases == [phase] * 3
    assert triggers == [then] * 3


def test_a_receiver_of_any_transition_gets_every_one():
    trainer = trainer_of()
    phases = []
    trainer.on("any_transition")(lambda trainer, state, made: phases.append(made.destination))
    with entered_without_work() as triggers:
        trainer.fit(BATCHES[:1])
    batch = "fit.epoch.train.batch."
    leaves = [phase.removeprefix(batch) for phase in phases if phase.startswith(batch)]
    assert leaves == [
        *("forward", "loss", "scored", "backward.run"),
        *("differentiated", "step.run", "zero_grad"),
    ]
    assert triggers == ["begin_backward", "begin_step"]


def test_a_row_is_sent_from_the_batch_on_in_which_somebody_subscribes():
    trainer = trainer_of()
    heard = []

    @trainer.on("begin_batch", when=lambda trainer, state: state.batch_index == 1)
    def subscribe(trainer, state):
        trainer.on("after_loss")(lambda trainer, state: heard.append(state.batch_index))

    trainer.fit(BATCHES)
    assert heard == [1, 2]


def test_the_row_that_follows_is_sent_in_its_own_phase():
    trainer = trainer_of()
    phases = []
    for signal in ("begin_backward", "begin_step"):
        trainer.on(signal)(lambda trainer, state: phases.append(state.phase))
    trainer.fit(BATCHES[:1])
    batch = "fit.epoch.train.batch."
    assert phases == [batch + "backward.run", batch + "step.run"]


def test_the_activity_of_such_a_phase_runs_when_it_is_wrapped():
    trainer = trainer_of()
    ran = []
    trainer.wrap("scored", lambda activity: lambda state: ran.append(1) or activity(state))
    trainer.fit(BATCHES)
    assert len(ran) == 3


def test_a_cancel_that_the_loss_requests_takes_effect_before_the_backward_pass_begins():
    def loss_fn(pred, target):
        trainer.request(CancelBatchException("enough"))
        return nn.functional.mse_loss(pred, target)

    trainer = trainer_of(loss_fn)
    sent = []
    for signal in ("begin_backward", "after_backward", "after_cancel_batch"):
        trainer.on(signal)(lambda trainer, state, signal=signal: sent.append(signal))
    trainer.fit(BATCHES)
    assert sent == ["after_cancel_batch"] * 3


def test_steps_yield_every_transition():
    with entered_without_work() as triggers:
        made = [transition.trigger for transition in trainer_of().steps(BATCHES)]
    assert triggers == ["begin_backward", "begin_step"] * 3
    assert made.count("after_loss") == made.count("begin_backward") == 3

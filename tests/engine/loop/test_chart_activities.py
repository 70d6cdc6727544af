"""Gradients are switched off around what works in an evaluation, once."""

import sys

import torch
from torch import nn

from trackside.engine import Trainer
from trackside.engine.torch_internals import set_gradients

BATCHES = [(torch.zeros(2, 3), torch.zeros(2, 1))] * 3


def trainer_of():
    model = nn.Linear(3, 1)
    return Trainer(model, nn.functional.mse_loss, torch.optim.SGD(model.parameters(), 0.1))


def test_each_activity_of_a_validation_that_works_switches_gradients_off_once():
    trainer = trainer_of()
    switched = []

    def profile(frame, event, argument):
        if event == "c_call" and argument is set_gradients and ".batch." in trainer.state.phase:
            switched.append(trainer.state.phase.partition("epoch.")[2])

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        trainer.fit(BATCHES, BATCHES)
    finally:
        sys.setprofile(before)
    batch = [f"validate.batch.{name}" for name in ("forward", "loss") for _ in ("off", "on")]
    assert [phase for phase in switched if phase.startswith("validate.")] == batch * 3


def test_a_wrap_around_a_phase_of_a_validation_without_work_runs_without_gradients():
    trainer = trainer_of()
    modes = []

    def wrapper(activity):
        def look(state):
            modes.append(torch.is_grad_enabled())
            return activity(state)

        return look

    trainer.wrap("validate.batch.scored", wrapper)
    trainer.fit(BATCHES, BATCHES)
    assert modes == [False] * 3

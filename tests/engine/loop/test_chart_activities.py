"""Gradients are switched off around what works in an evaluation, once."""

import sys

import torch
from torch import nn

from trackside.engine import Trainer

BATCHES = [(torch.zeros(2, 3), torch.zeros(2, 1))] * 3


def trainer_of():
    model = nn.Linear(3, 1)
    return Trainer(model, nn.functional.mse_loss, torch.optim.SGD(model.parameters(), 0.1))


def test_each_activity_of_a_validation_that_works_switches_gradients_off_once():
    trainer = trainer_of()
    entered = []

    def profile(frame, event, argument):
        is_entry = frame.f_code is torch.no_grad.__enter__.__code__
        if event == "call" and is_entry and not trainer.state.training:
            entered.append(trainer.state.phase.rpartition(".")[2])

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        trainer.fit(BATCHES, BATCHES)
    finally:
        sys.setprofile(before)
    assert entered == ["forward", "loss"] * 3


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

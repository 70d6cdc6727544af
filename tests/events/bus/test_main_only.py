"""Handlers that write for all processes that train together."""

import io

import torch
from torch import nn

from trackside import Metrics, ProgressBar, Trainer

BATCHES = [(torch.zeros(2, 3), torch.zeros(2, 1))] * 2


def trainer_of_rank(rank):
    model = nn.Linear(3, 1)
    trainer = Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1))
    trainer.state.rank = rank
    return trainer


def test_only_the_main_process_sends_signals_to_a_handler_that_is_main_only():
    texts = {}
    for rank in (0, 1):
        trainer, stream = trainer_of_rank(rank), io.StringIO()
        bar = ProgressBar(stream)
        for handler in (Metrics(), bar):
            trainer.attach(handler)
        assert bar in trainer.handlers
        trainer.fit(BATCHES)
        texts[rank] = stream.getvalue()
    assert "epochs 1/1" in texts[0]
    assert texts[1] == ""


def test_a_main_only_handler_of_another_process_is_checked_and_detached_alike():
    trainer = trainer_of_rank(1)
    bar = ProgressBar(io.StringIO())
    detach = trainer.attach(bar)
    detach()
    assert trainer.handlers == []


def test_a_trainer_is_the_main_one_until_it_joins_others():
    state = trainer_of_rank(0).state
    assert state.is_main
    state.rank = 3
    assert not state.is_main

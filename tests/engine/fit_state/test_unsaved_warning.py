"""Handlers whose changes no checkpoint has are named when the trainer is saved."""

import warnings

import pytest
import torch
from helpers import batches, trainer_of


class Draws:
    """Has a generator of its own."""

    def __init__(self, in_vain=False):
        self.generator = torch.Generator().manual_seed(1)
        self.in_vain = in_vain

    def begin_batch(self, trainer, state):
        generator = torch.Generator() if self.in_vain else self.generator
        torch.rand((), generator=generator)


def test_a_generator_that_a_handler_draws_from_is_state():
    trainer = trainer_of(Draws())
    trainer.fit(batches())
    with pytest.warns(UserWarning, match="handler Draws keeps generator and cannot") as told:
        trainer.state_dict()
    assert told[0].filename == __file__
    unused = trainer_of(Draws(in_vain=True))
    unused.fit(batches())
    with warnings.catch_warnings(action="error"):
        unused.state_dict()


def test_a_handler_that_is_attached_in_a_fit_is_not_named():
    trainer = trainer_of(Draws(in_vain=True))
    trainer.on("after_batch", once=True)(lambda trainer, state: trainer.attach(Draws()))
    trainer.fit(batches())
    with warnings.catch_warnings(action="error"):
        trainer.state_dict()

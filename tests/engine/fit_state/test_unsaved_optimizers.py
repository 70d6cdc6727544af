"""Optimizers that the trainer does not know are named when it is saved."""

from functools import partial

import pytest
import torch
from helpers import batches, model, trainer_of
from pairs import pair, trainer_of_two
from torch import nn

from trackside.engine.loop.activities import zero_grad

OWN = torch.optim.Adam(model().parameters())
"""A variable of a module, as a script has it."""


class Holding:
    """Steps an optimizer of its own."""

    def __init__(self, optimizer):
        self.parts = {"second": optimizer}

    def after_step(self, trainer, state):
        self.parts["second"].step()


class UsingGlobal:
    """Steps the optimizer of the module."""

    def after_step(self, trainer, state):
        OWN.step()


class Saving(Holding):
    """Saves its optimizer."""

    def state_dict(self):
        return {"second": self.parts["second"].state_dict()}

    def load_state_dict(self, state):
        self.parts["second"].load_state_dict(state["second"])


def handler(trainer):
    trainer.attach(Holding(OWN))


def handler_of_a_global(trainer):
    trainer.attach(UsingGlobal())


def subscribed_closure(trainer):
    second = OWN
    trainer.on("after_step")(lambda trainer, state: second.step())


def wrap_of_a_global(trainer):
    trainer.wrap("step", lambda step: lambda state: [OWN.step(), step(state)][-1])


class Module(nn.Module):
    def step_own(self, trainer, state):
        OWN.step()


def method_of_a_module(trainer):
    trainer.on("after_step")(Module().step_own)


def partial_wrap(trainer):
    trainer.wrap("step", partial(with_second, OWN))


def with_second(optimizer, step):
    return step


@pytest.mark.parametrize(
    ("add", "named"),
    [
        (handler, r"parts \(Adam\) of handler Holding"),
        (handler_of_a_global, r"OWN \(Adam\) of handler UsingGlobal"),
        (subscribed_closure, r"second \(Adam\) of subscribed_closure.<locals>.<lambda>"),
        (wrap_of_a_global, r"OWN \(Adam\) of wrap_of_a_global.<locals>.<lambda>"),
        (method_of_a_module, r"OWN \(Adam\) of Module.step_own"),
        (partial_wrap, r"0 \(Adam\) of partial"),
    ],
)
def test_an_optimizer_that_is_not_saved_is_named_once_a_fit(add, named):
    trainer = trainer_of()
    add(trainer)
    trainer.fit(batches(1))
    with pytest.warns(UserWarning, match=f"not among the trainer's optimizers: {named}; a resumed"):
        trainer.state_dict()
    trainer.state_dict()


def test_an_optimizer_of_an_activity_is_named():
    second = torch.optim.Adam(model().parameters())

    def zero_both(state):
        second.zero_grad()
        return zero_grad(state)

    trainer = trainer_of(activities={"zero_grad": zero_both})
    with pytest.warns(UserWarning, match=r"second \(Adam\) of .*zero_both"):
        trainer.state_dict()


def test_an_optimizer_that_a_handler_saves_is_not_named():
    trainer = trainer_of(Saving(OWN))
    trainer.state_dict()


def test_the_optimizers_of_the_trainer_are_not_named():
    trainer = trainer_of()
    trainer.attach(Holding(trainer.state.optimizer))
    trainer.state_dict()
    named = trainer_of_two(models=pair())
    named.attach(Holding(named.state.optimizers["b"]))
    named.state_dict()

"""Fits that are taken apart: the state is written at each boundary, a fresh trainer goes on."""

import io

import torch
from trackside.engine import Trainer

BOUNDARIES = ("fit.ready", "ready", "fetch", "trained", "validated")


def written(state):
    """A state dict as a file has it."""
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def read(file):
    return torch.load(io.BytesIO(file), weights_only=True)


def at_boundary(trainer):
    phase = trainer.state.phase
    return "." in phase and phase.endswith(BOUNDARIES)


def whole_fit(make):
    """A fit that nothing interrupts: its trainer, its signals, and (signals sent, state) at each
    boundary.
    """
    trainer, run = make(None)
    signals, states = [], []
    for transition in run:
        signals.append(transition.trigger)
        if at_boundary(trainer):
            states.append((len(signals), written(trainer.state_dict())))
    return trainer, signals, states


def resumed_fit(make, state):
    """The rest of a fit: its trainer, and its signals."""
    torch.manual_seed(4711)  # another process stands elsewhere
    trainer, run = make(read(state))
    return trainer, [transition.trigger for transition in run]


def fits(build, **options):
    """`make` for a function that gives a trainer and its loaders."""

    def make(resume):
        trainer, *loaders = build()
        assert isinstance(trainer, Trainer)
        return trainer, trainer.steps(
            *loaders, **(options if resume is None else {}), resume=resume
        )

    return make


def values(trainer):
    return {name: value.clone() for name, value in trainer.state.model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)

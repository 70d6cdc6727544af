"""Where a fit is: its phase, its counters, and what the model is like there besides its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...events import TrainState
from .plain_data import plain

COUNTERS = (
    "epoch",
    "batch_index",
    "n_batches",
    "step",
    "samples",
    "training",
    "validation_due",
    "validate_next",
)
ASKED = ("n_epochs", "batches_per_epoch")
"""What a fit is asked to do; what handlers make of it is saved beside it."""


def position(state: TrainState) -> dict[str, Any]:
    """The counters, and all else of a TrainState that the next activity goes by."""
    return {
        **{name: getattr(state, name) for name in (*COUNTERS, *ASKED)},
        "asked": dict(state.asked),
        "metrics": plain(state.metrics, "state.metrics"),
        "notes": plain(state.notes, "state.notes"),
        "loss": None if state.loss is None else plain(state.loss, "state.loss"),
        "modes": [
            name
            for name, module in state.model.named_modules()
            if module.training != state.training
        ],
        "frozen": [name for name, p in state.model.named_parameters() if not p.requires_grad],
    }


def begin(state: TrainState, asked: Mapping[str, Any]) -> None:
    """The state of a fit that has not begun: counters and gradients are zero."""
    state.asked = asked
    for name, value in asked.items():
        setattr(state, name, value)
    state.epoch, state.step, state.samples = -1, 0, 0
    state.metrics.clear()
    state.notes.clear()
    if state.optimizer is not None:
        state.optimizer.zero_grad()


def set_counters(state: TrainState, saved: Mapping[str, Any]) -> None:
    """What handlers find when they open their scopes again."""
    for name in COUNTERS:
        setattr(state, name, saved[name])
    state.metrics = dict(saved["metrics"])


def set_the_rest(state: TrainState, saved: Mapping[str, Any]) -> None:
    """What handlers had changed, but for what is asked for otherwise than it was."""
    for name in ASKED:
        if state.asked[name] == saved["asked"][name]:
            setattr(state, name, saved[name])
    state.notes.update(saved["notes"])
    state.loss = saved["loss"]
    for name, module in state.model.named_modules():
        module.training = state.training != (name in saved["modes"])
    for name, parameter in state.model.named_parameters():
        if parameter.requires_grad == (name in saved["frozen"]):
            parameter.requires_grad_(name not in saved["frozen"])

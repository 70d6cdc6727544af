"""What begins anew with a fit: counters, metrics, notes, gradients, fields of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from ...events import TrainState
from ..named_parts import all_optimizers
from ..statechart.compiled_table import Activity


def reset_state(state: TrainState, arguments: Mapping[str, Any]) -> None:
    """Prepare the state for a new fit: its arguments, and the defaults of fields of one's own.

    A resumed fit restores those fields afterwards.
    """
    state.asked = arguments
    if type(state) is not TrainState:
        standard = {field.name for field in fields(TrainState)}
        for field in fields(state):
            if field.name not in standard:
                _set_default(state, field)
    begin_counting(state)


def begin_counting(state: TrainState) -> None:
    """Reset what counts the epochs, batches and steps of one fit, and clear all gradients."""
    for name, value in state.asked.items():
        setattr(state, name, value)
    state.epoch, state.step, state.samples, state.tokens = -1, 0, 0, 0
    state.batches_found = state.recovery = state.retried = None
    state.rollbacks, state.snapshots = [], []
    state.clear_metrics()
    state.notes.clear()
    state.select("")
    for optimizer in all_optimizers(state).values():
        optimizer.zero_grad()


def begin_inner_fit(trigger: str) -> Activity:
    """An activity that begins a fit inside other scopes; their own fields stay as they are."""

    def activity(state: TrainState) -> str:
        begin_counting(state)
        return trigger

    return activity


def _set_default(state: TrainState, field: Field[Any]) -> None:
    if field.default_factory is not MISSING:
        setattr(state, field.name, field.default_factory())
    elif field.default is not MISSING:
        setattr(state, field.name, field.default)

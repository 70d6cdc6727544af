"""The position of a fit: counters, metrics, notes, module modes and frozen parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ...events import TrainState
from ...events.reported_metrics import ReportedMetrics
from ..named_parts import whole_model
from .plain_data import to_plain_data

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
FIT_ARGUMENTS = ("n_epochs", "batches_per_epoch")
"""Arguments of `fit`; a handler may change these fields, so the values passed are saved, too."""


def capture_position(state: TrainState) -> dict[str, Any]:
    """The fields of a TrainState that the next activity depends on, as data."""
    model = whole_model(state)
    return {
        **{name: getattr(state, name) for name in (*COUNTERS, *FIT_ARGUMENTS)},
        "asked": dict(state.asked),
        **_own_entries(state),
        "metrics": to_plain_data(state.metrics, "state.metrics"),
        "reports": to_plain_data(state.reports.pending, "state.reports"),
        "notes": to_plain_data(state.notes, "state.notes"),
        "loss": None if state.loss is None else to_plain_data(state.loss, "state.loss"),
        "modes": [
            name for name, module in model.named_modules() if module.training != state.training
        ],
        "frozen": [name for name, p in model.named_parameters() if not p.requires_grad],
    }


def restore_counters(state: TrainState, saved: Mapping[str, Any]) -> None:
    """Restore the counters and metrics, which handlers read when they reopen their scopes."""
    for name in COUNTERS:
        setattr(state, name, saved[name])
    state.metrics = ReportedMetrics(state.reports, saved["metrics"])
    for name, value in saved.get("reports", {}).items():
        state.reports.add(name, value)


def restore_position(state: TrainState, saved: Mapping[str, Any]) -> None:
    """Restore the other fields; fit arguments only where this fit passes the same value."""
    for name in FIT_ARGUMENTS:
        if state.asked[name] == saved["asked"][name]:
            setattr(state, name, saved[name])
    for name, value in saved.get("own", {}).items():
        setattr(state, name, value)
    state.notes.update(saved["notes"])
    state.loss = saved["loss"]
    for name, module in whole_model(state).named_modules():
        module.training = state.training != (name in saved["modes"])
    for name, parameter in whole_model(state).named_parameters():
        if parameter.requires_grad == (name in saved["frozen"]):
            parameter.requires_grad_(name not in saved["frozen"])


def _own_entries(state: TrainState) -> dict[str, Any]:
    """The fields that a subclass of TrainState adds; nothing for a plain one."""
    standard = {field.name for field in fields(TrainState)}
    own = {
        field.name: to_plain_data(getattr(state, field.name), f"state.{field.name}")
        for field in fields(state)
        if field.name not in standard
    }
    return {"own": own} if own else {}

"""The position of a fit: counters, metrics, notes, module modes and frozen parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor

from ...events import Rollback, TrainState
from ...events.reported_metrics import ReportedMetrics
from ..named_parts import Modules, module_parameters, named_modules, plain_name
from .plain_data import to_plain_data
from .saved_pictures import capture_pictures, restored_pictures

COUNTERS = (
    "epoch",
    "batch_index",
    "n_batches",
    "step",
    "samples",
    "training",
    "validation_due",
    "validate_next",
    "evaluation",
)
FIT_ARGUMENTS = ("n_epochs", "batches_per_epoch")
"""Arguments of `fit` that end it; a handler may change them, so what was passed is saved, too."""


def capture_position(
    state: TrainState, modules: Modules, parameters: Mapping[str, Tensor]
) -> dict[str, Any]:
    """The fields of a TrainState that the next activity depends on, as data.

    Args:
        modules: see `named_modules`.
        parameters: see `module_parameters`.
    """
    training = state.training
    counted = {name: getattr(state, name) for name in (*COUNTERS, *FIT_ARGUMENTS, "tokens")}
    found = None if state.batches_found is None else list(state.batches_found)
    pictures = capture_pictures(state)
    return {
        **to_plain_data({**counted, "asked": state.asked, "batches_found": found}, "state"),
        **({"rollbacks": [[*made] for made in state.rollbacks]} if state.rollbacks else {}),
        **_own_entries(state),
        "metrics": to_plain_data({**state.metrics}, "state.metrics"),
        **({"pictures": to_plain_data(pictures, "state.pictures")} if pictures else {}),
        "reports": to_plain_data(state.reports.pending, "state.reports"),
        "notes": to_plain_data(state.notes, "state.notes"),
        "loss": None if state.loss is None else to_plain_data(state.loss, "state.loss"),
        "modes": [
            prefix + plain_name(name) for prefix, name, part in modules if part.training != training
        ],
        "frozen": [name for name, each in parameters.items() if not each.requires_grad],
    }


def restore_counters(state: TrainState, saved: Mapping[str, Any]) -> None:
    """Restore the counters, metrics and pictures, which handlers read in scopes they reopen."""
    for name in COUNTERS:
        setattr(state, name, saved[name])
    state.tokens = saved.get("tokens", 0)  # a file from before has none
    found = saved.get("batches_found")
    state.batches_found = None if found is None else (found[0], found[1])
    state.rollbacks = [
        Rollback(reason, step, to_step, (first[0], first[1]), (last[0], last[1]))
        for reason, step, to_step, first, last in saved.get("rollbacks", ())
    ]
    state.metrics = ReportedMetrics(state.reports, saved["metrics"])
    state.pictures = restored_pictures(saved.get("pictures", {}))
    for name, value in saved["reports"].items():
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
    modules = named_modules(state)
    for prefix, name, part in modules:
        part.training = state.training != (prefix + plain_name(name) in saved["modes"])
    for name, parameter in module_parameters(modules).items():
        if parameter.requires_grad == (name in saved["frozen"]):
            parameter.requires_grad_(name not in saved["frozen"])


def _own_entries(state: TrainState) -> dict[str, Any]:
    """The fields that a subclass of TrainState adds; nothing for a plain one."""
    if type(state) is TrainState:
        return {}
    standard = {field.name for field in fields(TrainState)}
    own = {
        field.name: to_plain_data(getattr(state, field.name), f"state.{field.name}")
        for field in fields(state)
        if field.name not in standard
    }
    return {"own": own} if own else {}

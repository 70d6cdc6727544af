"""A note for an error of a model or a loss that got other parts of a batch than it expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...events import TrainState
from ...events.utils.exception_text import add_note
from ...events.utils.value_description import describe, describe_all, describe_named

_SAY = "Trainer(batch=function): function(batch) returns (inputs, targets) or with a weight, too"


def explain_batch(state: TrainState, error: BaseException) -> None:
    """Add what was taken as input and as target, and how to say it."""
    weight = "" if state.weight is None else f", and the weight {describe(state.weight)}"
    add_note(
        error,
        f"trackside: of the batch, {describe(state.batch)}, the input was {_call(state.xb)} and "
        f"the target {describe(state.yb)}{weight}; if that is wrong, say it with {_SAY}",
    )


def _call(xb: Any) -> str:
    if type(xb) is tuple:
        return f"model({describe_all(xb)})"
    if isinstance(xb, Mapping):
        return f"model({describe_named(xb, '=')})"
    return f"model({describe(xb)})"

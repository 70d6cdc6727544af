"""A note for an error of a model or a loss that got other parts of a batch than it expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...events import TrainState
from ...events.utils.exception_text import add_note
from ...events.utils.nested import SEQUENCES, is_named_tuple

_SAY = "Trainer(batch=function): function(batch) returns (inputs, targets) or with a weight, too"
_SHOWN = 4


def explain_batch(state: TrainState, error: BaseException) -> None:
    """Add what was taken as input and as target, and how to say it."""
    weight = "" if state.weight is None else f", and the weight {describe(state.weight)}"
    add_note(
        error,
        f"trackside: of the batch, {describe(state.batch)}, the input was {_call(state.xb)} and "
        f"the target {describe(state.yb)}{weight}; if that is wrong, say it with {_SAY}",
    )


def describe(value: Any) -> str:
    """The type of a part of a batch, with its shape or its parts."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, Tensor):
        return f"{kind} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"{kind} of {_listed([f'{key}: {describe(part)}' for key, part in _first(value)])}"
    if isinstance(value, SEQUENCES) and not is_named_tuple(value):
        return (
            f"{kind} of {len(value)} ({_listed([describe(part) for part in value[: _SHOWN + 1]])})"
        )
    shape = getattr(value, "shape", None)
    return kind if shape is None else f"{kind} {tuple(shape)}"


def _call(xb: Any) -> str:
    if type(xb) is tuple:
        return f"model({_listed([describe(part) for part in xb[: _SHOWN + 1]])})"
    if isinstance(xb, Mapping):
        return f"model({_listed([f'{key}={describe(part)}' for key, part in _first(xb)])})"
    return f"model({describe(xb)})"


def _first(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return list(value.items())[: _SHOWN + 1]


def _listed(texts: list[str]) -> str:
    return ", ".join(texts[:_SHOWN] + ["…"] * (len(texts) > _SHOWN))

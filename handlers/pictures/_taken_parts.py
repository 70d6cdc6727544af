"""What handlers of this wing take of a batch of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch

from ...events import TrainState
from ...events.utils.argument_checks import check_no_class
from ...events.utils.exception_text import add_note
from ...events.utils.nested import map_nested
from ...events.utils.value_description import describe

Take: TypeAlias = Callable[[TrainState], tuple[Any, Any]]


class Taken(NamedTuple):
    """The prediction and the target of a batch."""

    pred: Any
    target: Any


def check_take(owner: str, take: Any) -> None:
    """Refuse what cannot be called with a state.

    Raises:
        TypeError: what was found.
    """
    check_no_class(f"{owner}(take=…)", take)
    if take is not None and not callable(take):
        raise TypeError(
            f"{owner}(take={take!r}): expected a function of the state that returns the "
            "prediction and the target"
        )


def taken_from(state: TrainState, take: Take | None, owner: str) -> Taken:
    """The prediction and target that `take` returns; without one those of the state.

    Raises:
        Exception: raised by `take`, with a note of what it was given.
        TypeError: it returned something other than two values.
    """
    if take is None:
        return Taken(state.pred, state.yb)
    try:
        found = take(state)
    except Exception as error:
        given = f"state.pred is {describe(state.pred)}, state.yb is {describe(state.yb)}"
        add_note(error, f"trackside: raised by {owner}(take=…); {given}")
        raise
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError(
            f"{owner}(take=…) returned {describe(found)}; allowed: the prediction and the target, "
            "as a tuple"
        )
    return Taken(*found)


def counts_in_evaluation(state: TrainState) -> bool:
    """Whether the batch that has ended is a completed one of an evaluation, with examples."""
    is_evaluated = not state.training and state.job != "predict"
    return is_evaluated and state.outcome == "completed" and state.batch_size > 0


def ends_evaluation(state: TrainState) -> bool:
    """Whether the evaluation has ended by itself, or by a cancel of nothing but it."""
    cancel, still_open = state.cancel, state.phase.split(".")
    return state.outcome == "completed" or (cancel is not None and cancel.scope not in still_open)


def rows_of(value: Any, count: int, change: Callable[[torch.Tensor], Any]) -> Any:
    """`value` with `change(tensor)` in place of each tensor that has a row for each example."""

    def changed(tensor: torch.Tensor) -> Any:
        has_rows = tensor.dim() > 0 and len(tensor) == count
        return change(tensor) if has_rows else tensor

    return map_nested(changed, value, only=torch.Tensor)

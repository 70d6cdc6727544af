"""Which batches of a training pass end with an optimizer step."""

from __future__ import annotations

from typing import Any

from ..events import TrainState
from ..events.progress import is_last_batch


def ends_window(state: TrainState, batches: int) -> bool:
    """Whether the live batch is the last one of `batches` that make one step, or of its pass."""
    position = state.batch_index % batches + 1
    return position >= batches or _is_last(state.batches, state)


def _is_last(batches: Any, state: TrainState) -> bool:
    if hasattr(batches, "is_at_end"):  # reads ahead, as the loader has no length
        return bool(batches.is_at_end())
    return is_last_batch(state)

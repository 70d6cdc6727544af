"""The activity of `retry`: the forward pass of the live batch once more, in parts if asked for."""

from __future__ import annotations

from collections.abc import Callable

from ...events import RecoveryError, RetryBatchException, TrainState
from ..batches.forward_in_parts import can_be_split, forward_in_parts, input_shapes
from ..statechart.compiled_table import Activity


def retry_with(forward_of: Callable[[TrainState], Activity]) -> Activity:
    """The activity.

    Args:
        forward_of: returns the activity `forward` of the live batch.
    """

    def retry(state: TrainState) -> str:
        forward = forward_of(state)
        _count_attempt(state)
        state.pred = state.loss = None  # they hold the graph of the attempt before
        return in_live_parts(forward, state)

    return retry


def in_live_parts(forward: Activity, state: TrainState) -> str:
    """Run `forward` on the live batch, in as many parts as a retry has asked for."""
    parts = state.retried[2] if state.retried is not None and state.attempt else 1
    if parts == 1:
        return forward(state)
    return forward_in_parts(forward, state, -(-state.batch_size // parts))


def _count_attempt(state: TrainState) -> None:
    """Count an attempt, and the parts that it has asked for.

    Raises:
        RecoveryError: the batch cannot be split, or not further.
    """
    cancel, attempt = state.recovery, state.attempt
    parts = state.retried[2] if state.retried is not None and attempt else 1
    split = cancel.split if isinstance(cancel, RetryBatchException) else 1
    if split > 1 and not (can_be_split(state) and parts < state.batch_size):
        raise RecoveryError(
            f"RetryBatchException(split={split}): the batch cannot be split further than into "
            f"{parts} parts: it has {state.batch_size} examples, {input_shapes(state)}"
        ) from cancel
    state.retried = state.live_batch, attempt + 1, parts * split

"""A pass over a loader without the batches that rollbacks have left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...events import TrainState


class LeavingOut:
    """The batches of a training pass without those that `state.rollbacks` leaves out.

    They are read, dropped, and counted in `batch_index`: the others keep their numbers.

    Attributes:
        batches: yields all.
    """

    def __init__(self, batches: Iterator[Any], state: TrainState) -> None:
        self.batches = batches
        self._state = state

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        state = self._state
        while is_left_out(state, state.epoch, state.batch_index + 1):
            next(self.batches)
            state.batch_index += 1
        return next(self.batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batches, name)  # `loader_state` and `has_read_ahead` of a resumed pass


def is_left_out(state: TrainState, epoch: int, batch_index: int) -> bool:
    """Whether a rollback leaves out a batch."""
    return any(rollback.leaves_out(epoch, batch_index) for rollback in state.rollbacks)


def leaving_out(state: TrainState, batches: Iterator[Any]) -> Iterator[Any]:
    """`batches` of a training pass, as they are where no fit was rolled back."""
    return LeavingOut(batches, state) if state.rollbacks else batches

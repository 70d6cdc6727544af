"""Where a fit is, counted in the optimizer steps of a fit of which nothing is cancelled."""

from __future__ import annotations

import math
from typing import Any

from ...events import TrainState


class Position:
    """Tells the steps that lie behind, and all of them, by epoch and batch.

    Not by the updates that were made: a cancelled batch, or an epoch that was skipped, leaves
    what follows where it would have been.

    Raises:
        ValueError: the number of batches in an epoch is not known; `asking` wants to know it.
    """

    def __init__(self, state: TrainState, asking: str) -> None:
        known = [n for n in (state.batches_per_epoch, _length(state.train_loader)) if n is not None]
        if not known:
            raise ValueError(
                f"{asking} needs to know the number of steps, and the train_loader "
                f"({type(state.train_loader).__name__}) has no length; pass batches_per_epoch= to "
                "fit, or attach LimitBatches"
            )
        self.batches_per_step: int = state.notes.get("batches_per_step", 1)
        self.per_epoch: int = max(1, math.ceil(min(known) / self.batches_per_step))

    def total(self, state: TrainState) -> int:
        """Steps in the whole fit, at least 1."""
        steps = state.n_epochs * self.per_epoch
        limit: int = state.notes.get("max_steps", steps)
        return max(1, min(steps, limit))

    def done(self, state: TrainState) -> int:
        """Steps before that of the live batch."""
        in_epoch = min(state.batch_index // self.batches_per_step, self.per_epoch - 1)
        return state.epoch * self.per_epoch + in_epoch


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None

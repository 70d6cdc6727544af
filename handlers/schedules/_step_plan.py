"""The optimizer steps of a whole fit, planned as if nothing were cancelled."""

from __future__ import annotations

import math

from ...events import TrainState
from ...events.loader_length import loader_length


class StepPlan:
    """Counts the steps of a fit by epoch and batch: those behind, and all of them.

    Not by the updates made: a cancelled batch, or a skipped epoch, does not move what follows.

    Args:
        asking: the schedule that needs the plan, for the message.

    Raises:
        ValueError: the number of batches in an epoch is not known.
    """

    def __init__(self, state: TrainState, asking: str) -> None:
        lengths = (state.batches_per_epoch, loader_length(state.train_loader))
        known = [length for length in lengths if length is not None]
        if not known:
            raise ValueError(
                f"{asking} needs to know the number of steps, and the train_loader "
                f"({type(state.train_loader).__name__}) has no length; pass batches_per_epoch= to "
                "fit, or attach LimitBatches"
            )
        self.batches_per_step = state.batches_per_step
        self.per_epoch = max(1, math.ceil(min(known) / self.batches_per_step))

    def total(self, state: TrainState) -> int:
        """Steps in the whole fit, at least 1."""
        steps = state.n_epochs * self.per_epoch
        return max(1, steps if state.max_steps is None else min(steps, state.max_steps))

    def done(self, state: TrainState) -> int:
        """Steps before that of the live batch."""
        in_epoch = min(state.batch_index // self.batches_per_step, self.per_epoch - 1)
        return state.epoch * self.per_epoch + in_epoch


PLAN_WRITERS = (
    "GradientAccumulation",
    "LimitBatches",
    "StepLimit",
    "Unfreeze",
    "WeightDecayGroups",
)
"""Handlers that decide how many steps there are, and which groups the optimizer has."""

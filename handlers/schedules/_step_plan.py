"""The planned optimizer steps of a whole fit, as if nothing were cancelled."""

from __future__ import annotations

import math

from ...events import TrainState
from ...events.loader_length import loader_length


class StepPlan:
    """Counts the planned steps of a fit, and how many of them have passed, by epoch and batch.

    The updates made do not count: a cancelled batch, or a skipped epoch, delays no later step.

    Args:
        caller: the schedule that needs the plan, for the error message.
        of: name of the optimizer whose steps are planned; None: the only one.

    Raises:
        ValueError: the number of batches in an epoch is not known.
    """

    def __init__(self, state: TrainState, caller: str, of: str | None = None) -> None:
        lengths = (state.batches_per_epoch, loader_length(state.train_loader))
        known = [length for length in lengths if length is not None]
        if not known:
            raise ValueError(
                f"{caller} needs to know the number of steps, and the train_loader "
                f"({type(state.train_loader).__name__}) has no length; pass batches_per_epoch= to "
                "fit, or attach LimitBatches"
            )
        self.batches_per_step = state.batches_per_step_of.get(of or "", state.batches_per_step)
        self.per_epoch = max(1, math.ceil(min(known) / self.batches_per_step))

    def total(self, state: TrainState) -> int:
        """Steps in the whole fit, limited by `max_steps`; at least 1."""
        steps = state.n_epochs * self.per_epoch
        return max(1, steps if state.max_steps is None else min(steps, state.max_steps))

    def done(self, state: TrainState) -> int:
        """Steps before the step of the current batch."""
        in_epoch = min(state.batch_index // self.batches_per_step, self.per_epoch - 1)
        return state.epoch * self.per_epoch + in_epoch


PLAN_WRITERS = (
    "GradientAccumulation",
    "LimitBatches",
    "StepLimit",
    "Unfreeze",
    "WeightDecayGroups",
)
"""Handlers that set the number of steps, or the parameter groups of the optimizer."""

"""The position of a schedule in the plan of a fit."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...events import TrainState
from ...events.progress import (
    Progress,
    batches_per_step,
    limit_progress,
    planned_steps,
    rounds,
    told_batches,
)

_MAX_UNCOUNTED = 10_000
"""Positions of a schedule whose fit may end by tokens or seconds, so after any number of steps."""


class StepPlan:
    """The positions of a schedule, from 0 to `total - 1`, and which of them is the current one.

    The fit ends with its epochs or with the first limit that it reaches, and a schedule follows
    the one that is nearest to its end, so that it ends with the fit. Over the epochs, cancelled
    batches and skipped epochs count as passed; a limit counts what was made. In the further batches
    of a loader that is longer than it tells, the position of the last one is held: in the next
    epoch, whose length is known then, the plan continues from there.

    Args:
        caller: the schedule that needs the plan, for the error message.
        of: name of the optimizer whose steps are planned; None: the only one.

    Raises:
        ValueError: nothing tells when the fit will end.

    Attributes:
        total: the number of positions, at least 1: planned steps, by the length that the loader
            tells. If the fit ends elsewhere, positions are passed faster or more slowly.
    """

    def __init__(self, state: TrainState, caller: str, of: str | None = None) -> None:
        self._of = of
        counts = [] if told_batches(state) is None else [told_steps(state, of) * rounds(state)]
        if "steps" in state.limits:
            counts.append(math.ceil(state.limits["steps"]))
        if not state.limits.keys() <= {"steps"}:
            counts.append(_MAX_UNCOUNTED)
        if not counts:
            raise ValueError(
                f"{caller} needs to know the number of steps, and the train_loader "
                f"({type(state.train_loader).__name__}) has no length; pass batches_per_epoch= to "
                "fit, or attach LimitBatches, StepLimit, TokenLimit or TimeLimit"
            )
        self.total = max(1, min(counts))

    def fraction(self, state: TrainState) -> float:
        """The share of the fit that has passed before the current batch, from 0 to 1."""
        return max(progress.fraction or 0.0 for progress in self._ends(state))

    def position(self, state: TrainState) -> int:
        """The position of the current batch; the last one is that of the last planned step."""
        return min(max(self._moves(progress) for progress in self._ends(state)), self.total - 1)

    def is_counted(self, state: TrainState) -> bool:
        """Whether the fit will have `total` steps, if nothing is cancelled."""
        return state.batches_found is None and state.limits.keys() <= {"steps"}

    def _ends(self, state: TrainState) -> Iterator[Progress]:
        yield planned_steps(state, self._of)
        yield from limit_progress(state)

    def _moves(self, progress: Progress) -> int:
        if progress.unit == "steps" and progress.total is not None and progress.total > 1:
            return round(progress.done * (self.total - 1) / (progress.total - 1))
        return int((progress.fraction or 0.0) * self.total)


def told_steps(state: TrainState, of: str | None = None) -> int:
    """Steps in an epoch, by the length that the loader tells; at least 1."""
    return max(1, math.ceil((told_batches(state) or 0) / batches_per_step(state, of)))


def told_epochs(state: TrainState) -> int:
    """Epochs of the fit, fewer if its limit of steps ends it before; at least 1."""
    epochs = rounds(state)
    if "steps" in state.limits and told_batches(state) is not None:
        epochs = min(epochs, math.ceil(state.limits["steps"] / told_steps(state)))
    return max(1, epochs)


PLAN_READS = (
    *("optimizer", "epoch", "n_epochs", "batch_index"),
    *("batches_per_epoch", "train_loader", "limits"),
)
"""The fields of which a schedule with a plan makes its values."""

PLAN_WRITERS = (
    "GradientAccumulation",
    "LimitBatches",
    "StepLimit",
    "TimeLimit",
    "TokenLimit",
    "Unfreeze",
    "WeightDecayGroups",
)
"""Handlers that set when the fit ends, or the parameter groups of the optimizer."""

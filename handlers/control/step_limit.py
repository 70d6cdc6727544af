"""Limit the optimizer steps of a fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from ...events import Handler, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from .._writes import Writes
from ._fit_end import end_fit_with_batch


class StepLimit(Handler):
    """Ends the fit after a number of optimizer steps, as if the data ended there.

    The current epoch is the last one: its training ends with the batch of that step, and its
    validation follows. The fit is completed, not cancelled. The `epochs` of the fit are a limit,
    too.

    Signals: begin_fit, after_batch, after_fit
    Reads: step, training, epoch, batch_index
    Writes: limits; then batches, n_batches, n_epochs
    Cost: no sync
    Does not: cancel the fit, or train longer than its `epochs`

    Args:
        steps: optimizer steps in a fit, from 1.

    Raises:
        TypeError: `steps` is not an int.
        ValueError: `steps` is below 1.
    """

    reads = ("step", "training", "epoch", "batch_index")
    writes: ClassVar[Writes] = {
        "begin_fit": ("limits.steps",),
        "after_batch": ("batches", "n_batches", "n_epochs"),
        "after_fit": ("limits.steps",),
    }

    def __init__(self, steps: int) -> None:
        check_whole_number(f"StepLimit({steps!r})", steps, least=1)
        self.steps = steps

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        state.limits["steps"] = self.steps
        try:
            yield
        finally:
            state.limits.pop("steps", None)

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.training and state.step >= self.steps:
            end_fit_with_batch(state)

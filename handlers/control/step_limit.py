"""A budget of optimizer steps."""

from __future__ import annotations

from collections.abc import Iterator

from ...events import TrainerProtocol, TrainState


class StepLimit:
    """Ends the fit after a number of optimizer steps, as if the data ended there.

    The epoch that is under way is the last one; its training ends with the batch of that step,
    and is followed by its validation. The fit is completed, not cancelled. `epochs` of the fit
    limits it, too.

    Signals: begin_fit, after_batch, after_fit
    Reads: step, training, epoch, batch_index
    Writes: max_steps, for schedules; then batches, n_batches, n_epochs
    Cost: no sync

    Args:
        steps: updates in a fit, from 1.

    Raises:
        TypeError: `steps` is no int.
        ValueError: `steps` is below 1.
    """

    def __init__(self, steps: int) -> None:
        if isinstance(steps, bool) or not isinstance(steps, int):
            raise TypeError(f"StepLimit({steps!r}): allowed: an int, from 1")
        if steps < 1:
            raise ValueError(f"StepLimit({steps}): allowed: an int, from 1")
        self.steps = steps

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        state.max_steps = self.steps
        try:
            yield
        finally:
            state.max_steps = None

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.training and state.step >= self.steps:
            state.n_epochs = state.epoch + 1
            state.n_batches = state.batch_index + 1
            state.batches = iter(())

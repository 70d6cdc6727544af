"""Decide when a save is due: every n steps, every n epochs, every n minutes."""

from __future__ import annotations

from collections.abc import Callable

from ...events import TrainState
from ...events.utils.argument_checks import check_whole_number


class SaveSchedule:
    """Decides, at each boundary of a fit, whether a save is due; `done(state)` follows each save.

    Args:
        steps: save every n optimizer steps; None: never. The same holds for the next two.
        epochs: save every n epochs, counted from the first epoch of the fit.
        minutes: save when this time has passed since the last save.
        clock: returns the current time in seconds; read only if `minutes` is given.
    """

    def __init__(
        self,
        steps: int | None,
        epochs: int | None,
        minutes: float | None,
        clock: Callable[[], float],
    ) -> None:
        for name, count in (("steps", steps), ("epochs", epochs)):
            if count is not None:
                check_whole_number(f"Checkpoint({name}={count!r})", count, least=1)
        if minutes is not None and not minutes > 0:
            raise ValueError(f"Checkpoint(minutes={minutes}): allowed: a number above 0, or None")
        self.steps, self.epochs, self.minutes = steps, epochs, minutes
        self.clock = clock
        self._step = self._epoch = -1
        self._time = 0.0

    def start(self, state: TrainState) -> None:
        """Begin at the current step and epoch, for which no save is due."""
        self.done(state)
        self._epoch = state.epoch

    def done(self, state: TrainState) -> None:
        """Restart the count of minutes; no other save is due at this step."""
        self._step = state.step
        if self.minutes is not None:
            self._time = self.clock()

    def at_batch(self, state: TrainState) -> str:
        """Why a save is due between two batches; empty if none is due."""
        if self.steps is not None and state.step != self._step:
            if state.step % self.steps == 0:
                return f"step {state.step}"
            self._step = state.step
        if self.minutes is not None and self.clock() - self._time >= self.minutes * 60:
            return f"{self.minutes:g} minutes"
        return ""

    def at_epoch(self, state: TrainState) -> str:
        """Why a save is due between two epochs; empty if none is due."""
        if self.epochs is not None and state.epoch != self._epoch:
            self._epoch = state.epoch
            if (state.epoch + 1) % self.epochs == 0:
                return f"epoch {state.epoch + 1}"
        return self.at_batch(state)

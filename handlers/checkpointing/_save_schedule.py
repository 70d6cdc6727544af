"""When something is due: every n steps, every n epochs, every n minutes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...events import TrainState


class Schedule:
    """Tells, at each boundary of a fit, why something is due; it is told when it has been done.

    Args:
        steps: optimizer steps; None for never. So are the others.
        epochs: counted from the first of the fit.
        minutes: since it was last done, for whatever reason.
        clock: tells seconds; read only where minutes count.
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
                check_count(name, count)
        if minutes is not None and not minutes > 0:
            raise ValueError(f"Checkpoint(minutes={minutes}): allowed: a number above 0, or None")
        self.steps, self.epochs, self.minutes = steps, epochs, minutes
        self.clock = clock
        self._step = self._epoch = -1
        self._time = 0.0

    def start(self, state: TrainState) -> None:
        """What lies behind is done."""
        self._step, self._epoch = state.step, state.epoch
        self.done()

    def done(self) -> None:
        """The minutes count anew."""
        if self.minutes is not None:
            self._time = self.clock()

    def at_batch(self, state: TrainState) -> str:
        """Why it is due between two batches; empty if it is not."""
        if self.steps is not None and state.step != self._step:
            self._step = state.step
            if state.step % self.steps == 0:
                return f"step {state.step}"
        if self.minutes is not None and self.clock() - self._time >= self.minutes * 60:
            return f"{self.minutes:g} minutes"
        return ""

    def at_epoch(self, state: TrainState) -> str:
        """Why it is due between two epochs; empty if it is not."""
        if self.epochs is not None and state.epoch != self._epoch:
            self._epoch = state.epoch
            if (state.epoch + 1) % self.epochs == 0:
                return f"epoch {state.epoch}"
        return self.at_batch(state)


def check_count(name: str, count: Any) -> None:
    """Refuse what is no whole number from 1."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"Checkpoint({name}={count!r}): allowed: an int, from 1")
    if count < 1:
        raise ValueError(f"Checkpoint({name}={count}): allowed: an int, from 1")

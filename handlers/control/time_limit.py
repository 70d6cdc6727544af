"""Limit the time of a fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from ...events import CancelFitException, TrainerProtocol, TrainState
from .._copying import Copyable
from .._writes import Writes


class TimeLimit(Copyable):
    """Ends the fit after the first batch that exceeds the time limit.

    Validations count, and are ended, too. `validate()` and `predict()` have no limit. A resumed fit
    keeps its remaining time.

    Signals: begin_fit, after_batch, after_fit
    Reads: job
    Writes: limits and elapsed, for schedules
    Raises: CancelFitException
    Cost: no sync; a batch ends for this handler when its work is queued on the device
    Does not: limit `validate()` and `predict()`, or break off a batch

    Args:
        seconds: wall-clock time from the begin of the fit, above 0.
        clock: returns the current time in seconds.

    Raises:
        ValueError: `seconds` is not above 0.
    """

    kept_in_rollback = True  # the time has passed
    reads = ("job",)
    writes: ClassVar[Writes] = dict.fromkeys(
        ("begin_fit", "after_fit"), ("limits.seconds", "elapsed")
    )

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not seconds > 0:
            raise ValueError(f"TimeLimit({seconds}): allowed: seconds, above 0")
        self.seconds = seconds
        self.clock = clock
        self._started = 0.0

    def attached(self, trainer: TrainerProtocol) -> None:
        self._started = self.clock()

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        self._started = self.clock()
        state.limits["seconds"], state.elapsed = self.seconds, self._passed
        try:
            yield
        finally:
            state.limits.pop("seconds", None)
            state.elapsed = None

    def state_dict(self) -> dict[str, Any]:
        return {"passed": self._passed()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._started = self.clock() - state["passed"]

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job != "fit":
            return
        passed = self._passed()
        if passed >= self.seconds:
            raise CancelFitException(
                f"the limit of {self.seconds:g} s is over: {passed:.1f} s since the fit began"
            )

    def _passed(self) -> float:
        return self.clock() - self._started

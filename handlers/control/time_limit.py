"""A budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ...events import CancelFitException, TrainerProtocol, TrainState


class TimeLimit:
    """Ends the fit at the end of the first batch that ends too late.

    The time of validations counts, and one that is under way is ended. `validate()` and
    `predict()` take the time that they need. A fit that goes on in another process has left what
    it had left.

    Signals: begin_fit, after_batch
    Reads: job
    Raises: CancelFitException
    Cost: no sync; a batch ends for this handler when its work has been given to the device

    Args:
        seconds: of wall clock, from the begin of the fit, above 0.
        clock: tells seconds.

    Raises:
        ValueError: `seconds` is not above 0.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not seconds > 0:
            raise ValueError(f"TimeLimit({seconds}): allowed: seconds, above 0")
        self.seconds = seconds
        self.clock = clock
        self._begun = 0.0

    def attached(self, trainer: TrainerProtocol) -> None:
        self._begun = self.clock()

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._begun = self.clock()

    def state_dict(self) -> dict[str, Any]:
        return {"passed": self.clock() - self._begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._begun = self.clock() - state["passed"]

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job != "fit":
            return
        passed = self.clock() - self._begun
        if passed >= self.seconds:
            raise CancelFitException(
                f"the limit of {self.seconds:g} s is over: {passed:.1f} s since the fit began"
            )

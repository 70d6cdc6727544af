"""Measure whether the fused call pays for batches of one shape."""

from __future__ import annotations

from copy import deepcopy
from statistics import median
from typing import Any

_GAIN = 0.97
"""The fused call must take at most this part of the time of the rows."""


class FusingTrial:
    """Decides after 3 × `batches` + 1 batches of a shape.

    The first `batches` of them are computed by the rows. Then fused batches and others take turns,
    beginning with a fused one, which is not timed, because it compiles.

    Attributes:
        pays: whether the fused call is used; None while the trial runs.
        reason: why the call was given up; empty if it was not.
    """

    def __init__(self, batches: int) -> None:
        self._batches = batches
        self._seen = 0
        self._rows: list[float] = []
        self._fused: list[float] = []
        self.pays: bool | None = None
        self.reason = ""

    @property
    def fuses_next(self) -> bool:
        """Whether the next batch is computed by the fused call."""
        if self.pays is not None:
            return self.pays
        return self._seen >= self._batches and (self._seen - self._batches) % 2 == 0

    def add(self, seconds: float | None) -> None:
        """Record the time of a batch that was computed as `fuses_next` says; decide in the end.

        Args:
            seconds: None if the call was compiled in it.
        """
        times = self._fused if self.fuses_next else self._rows
        if seconds is not None:
            times.append(seconds)
        self._seen += 1
        if self._seen > 3 * self._batches:
            self.pays = bool(self._fused) and self.fused_time < _GAIN * self.rows_time

    @property
    def rows_time(self) -> float:
        """Seconds from `forward` to `after_backward` by the rows: the median of the trial."""
        return median(self._rows[-self._batches :])

    @property
    def fused_time(self) -> float:
        """The same by the fused call."""
        return median(self._fused)

    def give_up(self, reason: str) -> None:
        """Compute all batches of this shape by the rows from now on."""
        self.pays, self.reason = False, reason

    def __str__(self) -> str:
        if self.pays is None:
            return f"on trial, {self._seen} of {3 * self._batches + 1} batches"
        if self.reason:
            return f"not fused: {self.reason}"
        if not self._fused:
            return "not fused: nothing was measured"
        times = f"{1e6 * self.fused_time:.0f} µs a batch, the rows {1e6 * self.rows_time:.0f}"
        return f"{'fused' if self.pays else 'not fused, it does not pay'}: {times}"

    def state_dict(self) -> dict[str, Any]:
        """The decision, or the times so far."""
        return {name.lstrip("_"): deepcopy(value) for name, value in vars(self).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the trial."""
        for name in vars(self):
            setattr(self, name, state[name.lstrip("_")])

"""The status of a run: phase, counters, metrics, rate and time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from ...events import TrainState
from ...events.state import Outcome


class Status(NamedTuple):
    """An immutable snapshot of a run; fields that `TrainState` also has are copied from it.

    It is read while the run continues, so one counter may be a batch ahead of another.
    """

    phase: str
    """The live phase, `fit.epoch.train.batch.forward`."""
    epoch: int
    """0-based index of the current or last epoch."""
    n_epochs: int
    """Epochs of the whole fit."""
    batch_index: int
    """0-based index of the batch in the current pass; -1 before the first."""
    n_batches: int | None
    """Batches in this pass; None if the loader does not know."""
    step: int
    """Optimizer updates made."""
    samples: int
    """Training examples fetched."""
    training: bool
    """Whether the current pass is a training pass."""
    metrics: Mapping[str, Any]
    """Metrics of this epoch so far, by name; read-only."""
    outcome: Outcome
    """How the last closed scope ended; after the run, how the run ended."""
    reason: str
    """Reason of the cancel that ended the run or is closing scopes; empty without one."""
    paused: bool
    """Whether the run is paused, and has stopped at a transition."""
    seconds: float
    """Seconds since the run began, without pauses."""
    rate: float | None
    """Training examples per second of `seconds`, validation included; None at first."""
    left: float | None
    """Estimated seconds left until the end of the epochs or the nearest limit; 0.0 after the run;
    None while unknown: at first, and in the first epoch of a loader without a length."""


class Stopwatch:
    """Counts seconds while it runs: from each `start` to the next `stop`."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._started_at: float | None = None

    def start(self) -> None:
        """Start or continue counting."""
        if self._started_at is None:
            self._started_at = time.monotonic()

    def stop(self) -> None:
        """Stop counting."""
        self._elapsed, self._started_at = self.seconds, None

    @property
    def seconds(self) -> float:
        """Seconds counted so far."""
        started_at = self._started_at
        return self._elapsed + (0.0 if started_at is None else time.monotonic() - started_at)


def read_status(
    state: TrainState,
    clock: Stopwatch,
    paused: bool,
    at_start: tuple[int, float],
) -> Status:
    """The status of a run that began with `at_start` (samples, share done); reads no tensor."""
    *counters, metrics, outcome, cancel = _read_counters(state)
    seconds, fraction = clock.seconds, state.progress().fraction or 0.0
    samples, done = state.samples - at_start[0], fraction - at_start[1]
    return Status._make(
        (
            *counters,
            MappingProxyType(dict(metrics)),
            outcome,
            "" if cancel is None else cancel.reason,
            paused,
            seconds,
            samples / seconds if samples and seconds else None,
            seconds / done * (1 - fraction) if done > 0 else None,
        )
    )


def unreadable_status(state: TrainState, seconds: float) -> Status:
    """The final status of a run in whose state a handler has left values of other types."""
    *counters, metrics, outcome, cancel = _read_counters(state)
    found = dict(metrics) if isinstance(metrics, Mapping) else {}
    reason = getattr(cancel, "reason", "")
    rest = (MappingProxyType(found), outcome, reason, False, seconds, None, 0.0)
    return Status._make((*counters, *rest))


# one call in C, during which the engine's thread cannot change the state
_read_counters = attrgetter(
    *("phase", "epoch", "n_epochs", "batch_index", "n_batches", "step", "samples", "training"),
    *("metrics", "outcome", "cancel"),
)

"""What a run tells those who watch it from outside."""

from __future__ import annotations

import time
from collections.abc import Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from ...events import TrainState
from ...events.state import Outcome
from ..statechart.phase_paths import open_scopes


class Status(NamedTuple):
    """A run at one moment; it does not change. Where a `TrainState` has the field, it is that.

    Read while the run goes on, so a count may be ahead of another one by a batch.
    """

    phase: str
    """The live phase, `fit.epoch.train.batch.forward`."""
    epoch: int
    """0-based index of the epoch last begun."""
    n_epochs: int
    """Epochs to make."""
    batch_index: int
    """0-based index of the batch in the pass under way; -1 before the first."""
    n_batches: int | None
    """Batches in this pass; None if the loader does not know."""
    step: int
    """Optimizer updates made."""
    samples: int
    """Training examples fetched."""
    training: bool
    """Whether the pass under way is a training pass."""
    metrics: Mapping[str, Any]
    """What this epoch has computed so far, by name; read-only."""
    outcome: Outcome
    """How the scope last closed has ended; of a run that is done, how the run has."""
    reason: str
    """Of the cancel that ended the run, or that is closing scopes; empty without one."""
    paused: bool
    """Whether the run stands still, as it was asked to."""
    seconds: float
    """Since the run began, without those in which it was paused."""
    rate: float | None
    """Training examples a second since the run began, validation included; None at its begin."""
    left: float | None
    """Seconds to go at the rate so far; 0.0 when it is done; None while that is unknown: at the
    begin, and where the loader does not know its length."""


class Stopwatch:
    """Counts seconds from the first `go`, without those between a `stop` and the next `go`."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = None

    def go(self) -> None:
        """Count from now on."""
        if self._since is None:
            self._since = time.monotonic()

    def stop(self) -> None:
        """Count no more."""
        self._before, self._since = self.seconds, None

    @property
    def seconds(self) -> float:
        """What was counted so far."""
        since = self._since
        return self._before + (0.0 if since is None else time.monotonic() - since)


def epochs_made(state: TrainState) -> float | None:
    """Epochs made, the one under way as the fraction of its training; None while unknown."""
    phase, epoch, training, index, count, paused = _position(state)
    if not open_scopes(phase, "epoch"):
        return float(epoch + 1)
    if phase.endswith(".ready"):
        return float(epoch)
    under_way = training and bool(open_scopes(phase, "batch"))
    if not training:
        if paused is None:
            return float(epoch + 1)
        _, index, count, _ = paused
    return float(epoch + (index + (not under_way)) / count) if count else None


def snapshot(
    state: TrainState, clock: Stopwatch, paused: bool, before: tuple[int, float]
) -> Status:
    """The status of a run that began with `before` samples and epochs; reads no tensor."""
    *counters, metrics, outcome, cancel = _counters(state)
    seconds, made = clock.seconds, epochs_made(state)
    samples = state.samples - before[0]
    done = 0.0 if made is None else made - before[1]
    rest = max(state.n_epochs - before[1] - done, 0.0)
    return Status._make(
        (
            *counters,
            MappingProxyType(dict(metrics)),
            outcome,
            "" if cancel is None else cancel.reason,
            paused,
            seconds,
            samples / seconds if samples and seconds else None,
            seconds / done * rest if done > 0 else None,
        )
    )


# one call each, during which the engine's thread does not go on
_counters = attrgetter(
    *("phase", "epoch", "n_epochs", "batch_index", "n_batches", "step", "samples", "training"),
    *("metrics", "outcome", "cancel"),
)
_position = attrgetter("phase", "epoch", "training", "batch_index", "n_batches", "paused")

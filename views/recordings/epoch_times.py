"""How long the epochs of a run took, and the phases in each: their spread tells noise apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import NamedTuple

from ...handlers.recording.format import RECORD, Kind
from .recording import CHUNK, Recording
from .symbol_table import TransitionEntry

FEWEST = 4
"""With fewer epochs than these, nothing is said about their spread."""
_ID_MASK = 0xFFFF


class Spread(NamedTuple):
    """The median of some times in seconds, and the quartiles below and above it."""

    epochs: int
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread | None:
        """None if there are too few."""
        if len(seconds) < FEWEST:
            return None
        return cls(len(seconds), *quantiles(seconds, n=4, method="inclusive"))

    def overlaps(self, other: Spread) -> bool:
        """Whether the middle halves of both overlap: then a difference may be noise."""
        return self.low <= other.high and other.low <= self.high


Times = dict[str, list[float]]


@dataclass
class EpochTimes:
    """Seconds of each completed epoch in the records, and of a mean stay in it, by name."""

    epochs: list[float] = field(default_factory=list)
    phases: Times = field(default_factory=dict)
    rows: Times = field(default_factory=dict)
    """By trigger and destination: the time in the phase before."""
    receivers: Times = field(default_factory=dict)


def epoch_times(recordings: Iterable[Recording]) -> EpochTimes:
    """The times of all epochs that the recordings still have from their begin to their end.

    Cost: reads all records, some two seconds for a million.
    """
    times = EpochTimes()
    for recording in recordings:
        reader = _Reader(recording, times)
        for nanoseconds, word in _words(recording):
            reader.add(nanoseconds, word)
    return times


def _words(recording: Recording) -> Iterator[tuple[int, int]]:
    position, end = recording.start, recording.end
    while position < end:
        chunk = recording.chunk(position, CHUNK)
        if not chunk.data:
            return
        for nanoseconds, word, _ in RECORD.iter_unpack(chunk.data):
            yield nanoseconds, word
        position = chunk.end


class _Reader:
    """Adds up the stays of one epoch at a time; a torn record discards the open epoch."""

    def __init__(self, recording: Recording, times: EpochTimes) -> None:
        table, name = recording.table, recording.meta.round
        self._transitions, self._receivers = table.transitions, table.receivers
        self._begin, self._end = f"begin_{name}", f"after_{name}"
        self._times = times
        self._began: int | None = None
        self._entered, self._called = 0, 0
        self._stays: dict[tuple[int, int], list[int]] = {}

    def add(self, nanoseconds: int, word: int) -> None:
        kind, identity = word >> 28, word & _ID_MASK
        if kind == Kind.TRANSITION:
            self._add_transition(nanoseconds, identity)
        elif kind == Kind.BEGIN_RECEIVER:
            self._called = nanoseconds
        elif kind == Kind.END_RECEIVER:
            self._stay(kind, identity, nanoseconds - self._called)
        elif not word:
            self._began = None

    def _stay(self, kind: int, identity: int, nanoseconds: int) -> None:
        stay = self._stays.setdefault((kind, identity), [0, 0])
        stay[0] += 1
        stay[1] += nanoseconds

    def _add_transition(self, nanoseconds: int, identity: int) -> None:
        self._stay(Kind.TRANSITION, identity, nanoseconds - self._entered)
        self._entered = nanoseconds
        entry = self._transitions.get(identity)
        if entry is None:
            return
        if entry.trigger == self._begin:
            self._began, self._stays = nanoseconds, {}
        elif entry.trigger == self._end and self._began is not None:
            self._times.epochs.append((nanoseconds - self._began) / 1e9)
            self._close_epoch()
            self._began = None

    def _close_epoch(self) -> None:
        phases: dict[str, list[int]] = {}
        rows: dict[str, list[int]] = {}
        receivers: dict[str, list[int]] = {}
        for (kind, identity), (count, nanoseconds) in self._stays.items():
            if kind == Kind.TRANSITION:
                entry = self._transitions.get(identity)
                if entry is not None:
                    _add(phases, entry.source, count, nanoseconds)
                    _add(rows, row_name(entry), count, nanoseconds)
            elif identity in self._receivers:
                _add(receivers, str(self._receivers[identity]), count, nanoseconds)
        _append_means(self._times.phases, phases)
        _append_means(self._times.rows, rows)
        _append_means(self._times.receivers, receivers)


def row_name(entry: TransitionEntry) -> str:
    """`after_loss → fit.epoch.train.batch.scored`."""
    return f"{entry.trigger} → {entry.destination}"


def _add(sums: dict[str, list[int]], name: str, count: int, nanoseconds: int) -> None:
    known = sums.setdefault(name, [0, 0])
    known[0] += count
    known[1] += nanoseconds


def _append_means(times: Times, sums: dict[str, list[int]]) -> None:
    for name, (count, nanoseconds) in sums.items():
        times.setdefault(name, []).append(nanoseconds / count / 1e9)

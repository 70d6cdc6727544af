"""What a recording consists of: its records, who recorded them, and where the run is."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

from ...handlers.recording.format import UNKNOWN, Kind, Live
from ..output.usage_error import UsageError
from .untrusted_input import clean, fits, is_a

Row = tuple[str, str | tuple[str, ...], str]


class RecordingError(UsageError):
    """A file cannot be read as a recording; the message says why."""


class Record(NamedTuple):
    """One record."""

    number: int
    """From 0; those that the ring has lost are missing at the front."""
    time_ns: int
    """On the monotonic clock of the machine; `Meta.wall` makes a date of it."""
    kind: Kind
    id: int
    """Of what, in the table; see `events.layout.Kind`."""
    argument: int
    """A batch, an epoch or a step; of a scalar the bits of its float32, see `value`."""

    @property
    def value(self) -> float:
        """Of a scalar."""
        found: float = struct.unpack("<f", struct.pack("<I", self.argument))[0]
        return found


class Scalar(NamedTuple):
    """A number that was recorded, and where the run was."""

    time_ns: int
    epoch: int
    step: int
    """Optimizer updates made until then."""
    name: str
    value: float


class Meta(NamedTuple):
    """Which run, which process, and on which clock."""

    name: str
    host: str
    boot: str
    namespace: str
    pid: int
    started: int
    rank: int
    world: int
    wall_ns: int
    monotonic_ns: int
    timing: bool
    rows: tuple[Row, ...]
    """Those of the chart of the fit, for `engine.Topology`."""

    def wall(self, time_ns: int) -> float:
        """Seconds since 1970 of a time on the monotonic clock of the recording."""
        return (time_ns - self.monotonic_ns + self.wall_ns) / 1e9


class Counters(NamedTuple):
    """Where a run is; 0-based, None where that is not known."""

    epoch: int | None
    n_epochs: int | None
    batch: int | None
    n_batches: int | None
    step: int | None
    samples: int | None

    @classmethod
    def of(cls, words: tuple[int, ...]) -> Counters:
        """Those among the live words of a recording."""
        found = (words[place] for place in _COUNTED)
        return cls(*(None if number == UNKNOWN else number for number in found))


_COUNTED = (Live.EPOCH, Live.N_EPOCHS, Live.BATCH, Live.N_BATCHES, Live.STEP, Live.SAMPLES)


def parse_meta(text: bytes) -> Meta:
    """What the recorder has written about itself.

    Raises:
        RecordingError: this is not it.
    """
    try:
        found = json.loads(text)
        rows = tuple(_row(row) for row in found.pop("rows"))
        meta = Meta(**found, rows=rows)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordingError(f"what it says of its run cannot be read: {error}") from None
    if not fits(Meta, list(meta)):
        raise RecordingError("what it says of its run is of wrong types")
    return Meta(*map(clean, meta))


def _row(row: Any) -> Row:
    trigger, source, destination = row
    sources = tuple(source) if isinstance(source, list) else (source,)
    if not all(is_a(str, part) for part in (trigger, *sources, destination)):
        raise TypeError(f"a row of the chart is {row!r:.60}")
    cleaned = tuple(map(clean, sources))
    return (
        clean(trigger),
        (cleaned if isinstance(source, list) else cleaned[0]),
        clean(destination),
    )

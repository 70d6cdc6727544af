"""The parts of a recording: its records, its meta data, and the counters of the run."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

from ...handlers.recording.format import Kind, Live
from ..output.usage_error import UsageError
from .untrusted_input import has_field_types, has_type, printable_line

Row = tuple[str, str | tuple[str, ...], str]


class RecordingError(UsageError):
    """A file cannot be read as a recording; the message gives the reason."""


class Record(NamedTuple):
    """One record."""

    number: int
    """From 0; the ring keeps the newest records, so the first numbers may be missing."""
    time_ns: int
    """On the monotonic clock of the machine; `Meta.wall` converts it to wall time."""
    kind: Kind
    id: int
    """The key into the symbol table; see `Kind`."""
    argument: int
    """A batch, an epoch or a step; of a scalar the bits of its float32, see `value`."""

    @property
    def value(self) -> float:
        """The value of a scalar."""
        value: float = struct.unpack("<f", struct.pack("<I", self.argument))[0]
        return value


class Scalar(NamedTuple):
    """A recorded number, and the position of the run."""

    time_ns: int
    epoch: int
    step: int
    """Optimizer updates made so far."""
    name: str
    value: float


class Meta(NamedTuple):
    """The meta data: which run, which process, which clocks."""

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
    """The rows of the chart of the fit, for `engine.Topology`."""
    round: str = "epoch"
    """The scope of an epoch, whatever the chart calls it; if it has none, of a pass; or empty."""

    def wall(self, time_ns: int) -> float:
        """Convert a time on the monotonic clock of the recording to seconds since 1970."""
        return (time_ns - self.monotonic_ns + self.wall_ns) / 1e9


class Counters(NamedTuple):
    """The counters of a run; epoch and batch from 0; None if not known, or not that of a fit."""

    epoch: int | None
    n_epochs: int | None
    batch: int | None
    n_batches: int | None
    step: int | None
    samples: int | None
    n_steps: int | None = None

    @classmethod
    def of(cls, words: tuple[int, ...]) -> Counters:
        """Pick the counters out of the live words of a recording."""
        numbers = (words[index] for index in _COUNTER_WORDS)
        return cls(*(number if number < _MOST else None for number in numbers))


_MOST = 2**53
"""No counter of a fit reaches it; it is exact in JavaScript below."""
_COUNTER_WORDS = (
    *(Live.EPOCH, Live.N_EPOCHS, Live.BATCH, Live.N_BATCHES),
    *(Live.STEP, Live.SAMPLES, Live.N_STEPS),
)


def parse_meta(text: bytes) -> Meta:
    """Parse and check the meta data that the recorder has written.

    Raises:
        RecordingError: the text is not valid meta data.
    """
    try:
        fields = json.loads(text)
        rows = tuple(_row(row) for row in fields.pop("rows"))
        meta = Meta(**fields, rows=rows)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordingError(f"its meta data cannot be parsed: {error}") from None
    if not has_field_types(Meta, list(meta)):
        raise RecordingError("its meta data has fields of wrong types")
    return Meta(*map(printable_line, meta))


def _row(row: Any) -> Row:
    trigger, source, destination = row
    sources = tuple(source) if isinstance(source, list) else (source,)
    if not all(has_type(str, part) for part in (trigger, *sources, destination)):
        raise TypeError(f"a row of the chart is {row!r:.60}")
    cleaned = tuple(map(printable_line, sources))
    return (
        printable_line(trigger),
        (cleaned if isinstance(source, list) else cleaned[0]),
        printable_line(destination),
    )

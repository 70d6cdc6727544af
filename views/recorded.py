"""What a recording holds besides its records: who recorded what, and what the ids stand for."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

from ..events.layout import MAX_IDS, UNKNOWN, Kind, Live
from .errors import UsageError

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


class TransitionEntry(NamedTuple):
    """A transition of the compiled chart."""

    trigger: str
    source: str
    destination: str
    row: int
    """The index of the row of `Meta.rows` that makes it; -1: one of another chart."""

    @property
    def kind(self) -> str:
        """What makes it happen: "normal", "cancel" or "error"."""
        if self.trigger == "after_error":
            return "error"
        return "cancel" if self.trigger.startswith("after_cancel_") else "normal"


class ReceiverEntry(NamedTuple):
    """A receiver at one signal."""

    name: str
    signal: str
    module: str

    def __str__(self) -> str:
        own = self.name.endswith(f".{self.signal}")
        return self.name if own else f"{self.name} at {self.signal}"


class CancelEntry(NamedTuple):
    """A cancel, in the words of whoever raised it."""

    type: str
    reason: str
    raised_by: str
    raised_in: str

    def __str__(self) -> str:
        return f"{self.type}({self.reason!r}) raised by {self.raised_by} in {self.raised_in}"


class ErrorEntry(NamedTuple):
    """An error that ended a run."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class ScalarEntry(NamedTuple):
    """A number that was recorded: `loss`, `lr`, a metric."""

    name: str


Entry = TransitionEntry | ReceiverEntry | CancelEntry | ErrorEntry | ScalarEntry

_ENTRIES: dict[str, type[Entry]] = {
    "transition": TransitionEntry,
    "receiver": ReceiverEntry,
    "cancel": CancelEntry,
    "error": ErrorEntry,
    "scalar": ScalarEntry,
}


class Table:
    """What the ids in records stand for, by kind; it grows while the run goes on.

    An id that the table has no room for, or no line, stands for an entry of question marks.
    """

    def __init__(self) -> None:
        self.transitions: dict[int, TransitionEntry] = {}
        self.receivers: dict[int, ReceiverEntry] = {}
        self.cancels: dict[int, CancelEntry] = {}
        self.errors: dict[int, ErrorEntry] = {}
        self.scalars: dict[int, ScalarEntry] = {}

    def transition(self, identity: int) -> TransitionEntry:
        return self.transitions.get(identity, TransitionEntry("?", "?", "?", -1))

    def receiver(self, identity: int) -> ReceiverEntry:
        return self.receivers.get(identity, ReceiverEntry("?", "?", "?"))

    def cancel(self, identity: int) -> CancelEntry:
        return self.cancels.get(identity, CancelEntry("?", "", "", ""))

    def error(self, identity: int) -> ErrorEntry:
        return self.errors.get(identity, ErrorEntry("?", ""))

    def scalar(self, identity: int) -> str:
        return self.scalars.get(identity, ScalarEntry("?")).name

    def add(self, line: bytes) -> bool:
        """Take in a line of the table; False: it is none."""
        try:
            kind, identity, *fields = json.loads(line)
            entry = _ENTRIES[kind]
        except (ValueError, TypeError, KeyError, RecursionError):
            return False
        if not (_is(identity, int) and 0 < identity < MAX_IDS and _fits(entry, fields)):
            return False
        getattr(self, f"{kind}s")[identity] = entry(*map(_clean, fields))
        return True


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
    if not _fits(Meta, list(meta)):
        raise RecordingError("what it says of its run is of wrong types")
    return Meta(*map(_clean, meta))


def _clean(value: Any) -> Any:
    """Text as one line of printable characters: it may be shown on a terminal, or to a browser."""
    if not isinstance(value, str):
        return value
    line = " ".join(value.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else "�" for c in line)


def _row(row: Any) -> Row:
    trigger, source, destination = row
    sources = tuple(source) if isinstance(source, list) else (source,)
    if not all(_is(part, str) for part in (trigger, *sources, destination)):
        raise TypeError(f"a row of the chart is {row!r:.60}")
    cleaned = tuple(map(_clean, sources))
    return (
        _clean(trigger),
        (cleaned if isinstance(source, list) else cleaned[0]),
        _clean(destination),
    )


_KINDS = {"str": str, "int": int, "bool": bool}


def _fits(entry: Any, fields: list[Any]) -> bool:
    """Whether the fields have the types that the entry declares."""
    declared = list(entry.__annotations__.values())
    return len(fields) == len(declared) and all(
        _is(value, _KINDS[kind])
        for value, kind in zip(fields, declared, strict=True)
        if kind in _KINDS
    )


def _is(value: Any, kind: type) -> bool:
    return type(value) is kind

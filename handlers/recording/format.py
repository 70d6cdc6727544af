"""The file format of a recording, which the recorder writes and `trackside.views` reads.

A file has seven parts, all little-endian; each begins at a multiple of 8 bytes:

    head     4096 bytes: magic, version, the sizes of the parts; live words from byte LIVE_AT
    meta     JSON, written once: run, process, host, clocks, rows of the chart
    table    lines of JSON, appended: what the ids in the records mean
    totals   two u64 for each transition id, then for each receiver id: count, nanoseconds
    metrics  points of 32 bytes, of the whole run: see POINT; version 1 has none
    pictures two halves, each for the whole text of the pictures; versions 1 and 2 have none
    ring     records of 16 bytes; record n, from 0, is in slot n % records

A line of the table is one of these; ids are counted from 1, for each of the six apart:

    ["transition", id, trigger, source, destination, number of the row in the meta data, or -1]
    ["receiver", id, name, trigger, module]     of a wait: see VOTE, COLLECTIVE
    ["cancel", id, type, reason, raised by, raised in]
    ["error", id, type, message]
    ["scalar", id, name]
    ["facts", id, the facts of a run, as a text of JSON]; of several the last

A record:

    u64      monotonic nanoseconds
    u32      kind << 28 | lap << 16 | id; lap is (n // records) % 4096
    u32      argument

The pictures are written to the half that is not in use, then the live word PICTURES is set. They
are JSON, a list in the order of time, without some earlier ones if there is not room for all:

    [{"name": …, "epoch": …, "step": …, "ns": …, "examples": [[input, prediction, target, is right,
        loss], …]} or {…, "classes": [name, …], "counts": [[…], …]}, …]

An input, prediction or target is a text, or `{"png": base64}`; the rest is as in
`events/pictures.py`.

A record is written in two stores of 8 bytes, which another CPU may see in either order. Until it
has seen both, one half of the slot is from the lap before: the lap is wrong, or the time is earlier
than that of the record before. A reader must reject such a record.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

MAGIC = b"\x89trackside\r\n\x1a\n\0\0"
VERSION = 3
HEAD_BYTES = 4096
LIVE_AT = 256
RECORD_BYTES = 16
SLOT_BYTES = 16
UNKNOWN = 2**64 - 1
"""The value of a live word that is not known, or has not begun."""

VOTE = "vote", "trackside.engine.ranks"
"""Name and module of the receiver that stands for the votes of several ranks. Its trigger is the
phase in which this rank waits for the others."""

COLLECTIVE = "trackside.handlers.distributed"
"""Likewise the module of the waits for what the passes of a model exchange; the names are
gradients, weights and buffers."""

LAPS = 2**12
MAX_IDS = 2**16
MIN_RECORDS = 2**8
MAX_RECORDS = 2**26
MAX_TEXT_BYTES = 2**20
MAX_POINTS = 2**14
MAX_PICTURE_BYTES = 2**24

_HEADS = {version: struct.Struct(f"<16s{5 + version}Q") for version in (1, 2, 3)}
"""The head of each version: the magic, the version, the sizes of the parts."""


class Kind(IntEnum):
    """The kind of a record. It defines what the id and the argument of the record mean.

    An id is a key into the table, from 1 (0: the table was full), except in POSITION. An argument
    that is not described here is 0.
    """

    TRANSITION = 1
    """id: the transition; argument: the number of the batch; outside of batches the epoch."""
    BEGIN_RECEIVER = 2
    """id: the receiver that is called next."""
    END_RECEIVER = 3
    """id: the receiver that has returned or raised."""
    CANCEL = 4
    """id: the cancel, with its reason and origin; the record follows that of its transition."""
    ERROR = 5
    """id: the error; the record follows that of its transition."""
    SCALAR = 6
    """id: the name of the scalar; argument: its value, the bits of a float32."""
    POSITION = 7
    """id: the lower 16 bits of the epoch; argument: the step. Both hold for the next scalars."""


class Live(IntEnum):
    """The index of each live word, a u64."""

    WRITTEN = 0
    """A number of records that are written; later ones may exist, and are found by their lap."""
    TABLE_BYTES = 1
    """The number of bytes of the table in use."""
    EPOCH = 2
    N_EPOCHS = 3
    BATCH = 4
    N_BATCHES = 5
    STEP = 6
    SAMPLES = 7
    CLOSED = 8
    """1 after the recorder was detached: no more will be written."""
    N_STEPS = 9
    """The planned number of steps; 0, as in files of before, if it is not known."""
    POINTS = 10
    """The number of points in the part for metrics."""
    POINTS_CHANGES = 11
    """Odd while points are left out, because their part was full: some are there twice then."""
    PICTURES = 12
    """How often the pictures were written << 32 | the bytes of their text. That number, modulo 2,
    is that of the half in use."""


class Layout(NamedTuple):
    """The sizes of the parts of a recording, and the byte at which each begins."""

    meta_bytes: int
    table_bytes: int
    transitions: int
    """Slots of 16 bytes in the totals for transitions; all transition ids are below it."""
    receivers: int
    """Slots of 16 bytes in the totals for receivers; all receiver ids are below it."""
    records: int
    """Slots in the ring."""
    points: int = 0
    """Slots in the part for metrics."""
    picture_bytes: int = 0
    """Bytes of each half of the part for pictures."""

    @property
    def table_at(self) -> int:
        return HEAD_BYTES + _aligned(self.meta_bytes)

    @property
    def totals_at(self) -> int:
        return self.table_at + _aligned(self.table_bytes)

    @property
    def receivers_at(self) -> int:
        return self.totals_at + self.transitions * SLOT_BYTES

    @property
    def points_at(self) -> int:
        return self.receivers_at + self.receivers * SLOT_BYTES

    @property
    def pictures_at(self) -> int:
        return self.points_at + self.points * POINT.size

    @property
    def ring_at(self) -> int:
        return self.pictures_at + 2 * _aligned(self.picture_bytes)

    def pictures_in_use(self, word: int) -> tuple[int, int]:
        """Where the text of the pictures begins, and its bytes, by the live word PICTURES."""
        half = (word >> 32) % 2 * _aligned(self.picture_bytes)
        return self.pictures_at + half, min(word & 0xFFFFFFFF, self.picture_bytes)

    @property
    def file_bytes(self) -> int:
        return self.ring_at + self.records * RECORD_BYTES

    def pack(self) -> bytes:
        """The head as bytes, without the live words."""
        return _HEADS[VERSION].pack(MAGIC, VERSION, *self)

    @classmethod
    def unpack(cls, head: bytes) -> Layout:
        """Read the head that `pack` has written.

        Raises:
            ValueError: this is not a recording, its version is not supported, or a size is invalid.
        """
        if len(head) < _HEADS[VERSION].size or not head.startswith(MAGIC):
            raise ValueError("it does not begin as a recording does")
        _, version, *_ = _HEADS[1].unpack_from(head)
        if not 1 <= version <= VERSION:
            raise ValueError(f"it is of version {version} of the format; allowed: 1 to {VERSION}")
        _, _, *sizes = _HEADS[version].unpack_from(head)
        layout = cls(*sizes)
        for name, size, most in zip(cls._fields[: len(sizes)], layout, _LARGEST, strict=False):
            if not 0 < size <= most:
                raise ValueError(f"its head says {name}={size}; allowed: 1 to {most}")
        return layout


_LARGEST = Layout(
    *(MAX_TEXT_BYTES, MAX_TEXT_BYTES, MAX_IDS, MAX_IDS, MAX_RECORDS, MAX_POINTS, MAX_PICTURE_BYTES)
)


POINT = struct.Struct("<QIIQd")
"""A value of a metric: nanoseconds, id of its name, epoch, step, value."""

RECORD = struct.Struct("<QII")


def record_tag(kind: Kind, identity: int) -> int:
    """The first u32 after the time of a record, in lap 0."""
    return kind << 28 | identity


def _aligned(size: int) -> int:
    return -(-size // 8) * 8

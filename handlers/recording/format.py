"""The layout of a recording: what the recorder of a run writes, and its readers read.

A file of five parts, all little-endian:

    head     4096 bytes: a magic, the version, the sizes of the parts; from LIVE_AT on live words
    meta     JSON, written once: run, process, host, clocks, the rows of the chart
    table    lines of JSON, appended: what the ids in records stand for
    totals   two words for each transition, then for each receiver: count, and nanoseconds
    ring     records of 16 bytes; record n is in slot n % records

    u64      monotonic nanoseconds
    u32      kind << 28 | lap << 16 | id; lap is (n // records) % 4096
    u32      argument

A record is written in two stores of 8 bytes, which another CPU may see in either order. One half
of it is then still that of a lap ago: the lap is wrong, or the time lies before the record before.
Both are to be rejected.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

MAGIC = b"\x89trackside\r\n\x1a\n\0\0"
VERSION = 1
HEAD_BYTES = 4096
LIVE_AT = 256
RECORD_BYTES = 16
SLOT_BYTES = 16
UNKNOWN = 2**64 - 1
"""In a live word: not known, or not begun."""

LAPS = 2**12
MAX_IDS = 2**16
MIN_RECORDS = 2**8
MAX_RECORDS = 2**26
MAX_TEXT_BYTES = 2**24

_HEAD = struct.Struct("<16s6Q")


class Kind(IntEnum):
    """What a record is of; what its id and its argument are."""

    TRANSITION = 1
    """id: of the transition; argument: the batch, or the epoch outside of batches."""
    BEGIN_RECEIVER = 2
    """id: of the receiver."""
    END_RECEIVER = 3
    """id: of the receiver."""
    CANCEL = 4
    """id: of the cancel, its reason and who raised it; it follows its transition."""
    ERROR = 5
    """id: of the error; it follows its transition."""
    SCALAR = 6
    """id: of the scalar; argument: its value, a float32."""
    POSITION = 7
    """id: the epoch, its lower 16 bits; argument: the step. Scalars that follow are of there."""


class Live(IntEnum):
    """The live words, by their place."""

    WRITTEN = 0
    """So many records are written; more may follow, which a reader knows by their lap."""
    TABLE_BYTES = 1
    """How much of the table is filled."""
    EPOCH = 2
    N_EPOCHS = 3
    BATCH = 4
    N_BATCHES = 5
    STEP = 6
    SAMPLES = 7
    CLOSED = 8
    """1 when the recorder was taken off: nothing more will be written."""


class Layout(NamedTuple):
    """The sizes of the parts of a recording, and where they begin."""

    meta_bytes: int
    table_bytes: int
    transitions: int
    """Slots of totals for transitions; their ids are below it."""
    receivers: int
    records: int

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
    def ring_at(self) -> int:
        return self.receivers_at + self.receivers * SLOT_BYTES

    @property
    def file_bytes(self) -> int:
        return self.ring_at + self.records * RECORD_BYTES

    def packed(self) -> bytes:
        """The head, up to the live words."""
        return _HEAD.pack(MAGIC, VERSION, *self)

    @classmethod
    def unpacked(cls, head: bytes) -> Layout:
        """What `packed` has written.

        Raises:
            ValueError: this is no recording, or one of another version; its sizes cannot be.
        """
        if len(head) < _HEAD.size or not head.startswith(MAGIC):
            raise ValueError("it does not begin as a recording does")
        _, version, *sizes = _HEAD.unpack_from(head)
        if version != VERSION:
            raise ValueError(f"it is of version {version} of the format; allowed: {VERSION}")
        layout = cls(*sizes)
        for name, size, most in zip(cls._fields, layout, _MOST, strict=True):
            if not 0 < size <= most:
                raise ValueError(f"its head says {name}={size}; allowed: 1 to {most}")
        return layout


_MOST = Layout(MAX_TEXT_BYTES, MAX_TEXT_BYTES, MAX_IDS, MAX_IDS, MAX_RECORDS)


RECORD = struct.Struct("<QII")


def word(kind: Kind, identity: int) -> int:
    """The third quarter of a record, in lap 0."""
    return kind << 28 | identity


def _aligned(size: int) -> int:
    return -(-size // 8) * 8

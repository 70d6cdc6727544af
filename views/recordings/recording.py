"""Reading a recording, while it is written or afterwards."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ...handlers.recording.format import (
    HEAD_BYTES,
    LIVE_AT,
    RECORD,
    RECORD_BYTES,
    SLOT_BYTES,
    Kind,
    Layout,
    Live,
)
from .record_validation import is_empty, sound
from .records import Counters, Meta, Record, RecordingError, Scalar, parse_meta
from .symbol_table import Table

CHUNK = 2**16
"""Records that are read at once."""
MARGIN = 64
"""Of the oldest records, left out: the writer may be about to overwrite them."""

_LIVE = struct.Struct(f"<{len(Live)}Q")
_ID = 0xFFFF
_KINDS = (Kind.TRANSITION, *Kind)  # by number; there is no kind 0


class Chunk(NamedTuple):
    """Some records as they are in the file."""

    first: int
    """The number of the first."""
    data: bytes
    """16 bytes each; all 0 where one is torn or overwritten, so that its kind is 0."""

    @property
    def rejected(self) -> int:
        """How many are."""
        return sum(not word for _, word, _ in RECORD.iter_unpack(self.data))

    @property
    def end(self) -> int:
        """The number of the record that comes next."""
        return self.first + len(self.data) // RECORD_BYTES

    def records(self) -> Iterator[Record]:
        """Those that are whole."""
        if is_empty(self.data):
            return
        for number, (time, word, argument) in enumerate(RECORD.iter_unpack(self.data), self.first):
            if word:
                yield Record(number, time, _KINDS[word >> 28], word & _ID, argument)


class Recording:
    """A recording, open for reading; the run may go on meanwhile.

    Nothing of the file is mapped and nothing of it is believed: a file that is torn, cut off or
    made up gives a `RecordingError` when it is opened, or those of its records that are whole.

    Attributes:
        path: of the file.
        meta: which run and which process, and the rows of the chart.
        layout: the sizes of its parts.

    Raises:
        RecordingError: there is no recording at `path`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = _opened(self.path)
        try:
            self.layout = self._read_layout()
            self.meta = self._read_meta()
        except RecordingError as error:
            self.close()
            raise RecordingError(f"cannot read {path}: {error}") from None
        self._table = Table()
        self._table_read = 0

    def close(self) -> None:
        """Read no more."""
        os.close(self._file)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def replaced(self) -> bool:
        """Whether another recording, or nothing, is at the path now."""
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except OSError:
            return True

    @property
    def counters(self) -> Counters:
        """Where the run is, as of the last record outside of a batch, or at its begin or end."""
        return Counters.of(self._live())

    @property
    def closed(self) -> bool:
        """Whether the recorder was taken off: nothing follows."""
        return self._live()[Live.CLOSED] != 0

    @property
    def table(self) -> Table:
        """What the ids in records stand for, as far as it is written."""
        size = min(self._live()[Live.TABLE_BYTES], self.layout.table_bytes)
        text = self._read(self.layout.table_at + self._table_read, size - self._table_read)
        whole = text[: text.rfind(b"\n") + 1]
        for line in whole.splitlines():
            self._table.add(line)
        self._table_read += len(whole)
        return self._table

    @property
    def end(self) -> int:
        """The number that the next record will have."""
        end, window = self._live()[Live.WRITTEN], MARGIN
        limit = end + self.layout.records
        while end < limit:
            found = self._sound(end, min(window, limit - end))
            words = [word for _, word, _ in RECORD.iter_unpack(found)]
            if 0 in words:
                return end + words.index(0)
            end, window = end + len(words), min(2 * window, CHUNK)
        return end

    @property
    def start(self) -> int:
        """The number of the oldest record that is still there."""
        return self._oldest(self.end)

    def chunk(self, start: int = 0, most: int = CHUNK) -> Chunk:
        """Records from number `start`, or from the oldest that is there; at most so many."""
        end = self.end
        first = min(self._next_there(max(start, self._oldest(end))), end)
        data = self._sound(first, min(end - first, most, self._there(first)))
        lost = min(max(0, self._oldest(self.end) - first) * RECORD_BYTES, len(data))
        return Chunk(first, bytes(lost) + data[lost:])

    def records(self, start: int = 0) -> Iterator[Record]:
        """The records from number `start` on, to the last that there is now."""
        end = self.end
        while start < end:
            chunk = self.chunk(start, min(CHUNK, end - start))
            if not chunk.data:
                return
            yield from chunk.records()
            start = chunk.end

    def scalars(self, start: int = 0) -> Iterator[Scalar]:
        """Loss, learning rate and metrics among the records from number `start` on."""
        table, where = self.table, None
        for record in self.records(start):
            if record.kind == Kind.POSITION:
                where = record
            elif record.kind == Kind.SCALAR and where is not None:
                name = table.scalar(record.id)
                yield Scalar(record.time_ns, where.id, where.argument, name, record.value)

    def slots(self, place: int, count: int) -> list[tuple[int, int]]:
        """Totals, (count, nanoseconds) each."""
        data = self._read(place, count * SLOT_BYTES)
        return list(struct.iter_unpack("<QQ", data[: len(data) // SLOT_BYTES * SLOT_BYTES]))

    def _oldest(self, end: int) -> int:
        lost = end - self.layout.records
        return lost + min(MARGIN, self.layout.records) if lost > 0 else 0

    def _next_there(self, number: int) -> int:
        """The first record from `number` on whose slot is in the file, which may be cut off."""
        return number if self._there(number) else number + -number % self.layout.records

    def _there(self, number: int) -> int:
        """Slots that the file has from that of a record on, up to the end of the ring."""
        size = min(os.fstat(self._file).st_size, self.layout.file_bytes)
        slots = max(0, size - self.layout.ring_at) // RECORD_BYTES
        return max(0, slots - number % self.layout.records)

    def _sound(self, first: int, count: int) -> bytes:
        """Records by number; those that are not whole, or not there, are all 0."""
        records = self.layout.records
        slot = first % records
        ahead = min(count, records - slot)
        place = self.layout.ring_at
        data = self._padded(place + slot * RECORD_BYTES, ahead * RECORD_BYTES)
        data += self._padded(place, (count - ahead) * RECORD_BYTES)
        return sound(data, first, records)

    def _padded(self, place: int, size: int) -> bytes:
        return self._read(place, size).ljust(size, b"\0")

    def _live(self) -> tuple[int, ...]:
        return _LIVE.unpack(self._padded(LIVE_AT, _LIVE.size))

    def _read_layout(self) -> Layout:
        try:
            return Layout.unpack(self._read(0, HEAD_BYTES))
        except ValueError as error:
            raise RecordingError(str(error)) from None

    def _read_meta(self) -> Meta:
        return parse_meta(self._read(HEAD_BYTES, self.layout.meta_bytes))

    def _read(self, place: int, size: int) -> bytes:
        try:
            return os.pread(self._file, size, place) if size > 0 else b""
        except OSError as error:
            raise RecordingError(f"cannot read {self.path}: {error.strerror}") from None


def _opened(path: Path) -> int:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise RecordingError(f"cannot read {path}: it is no file")
    return number

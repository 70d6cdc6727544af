"""Read a recording, while it is written or afterwards."""

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
    POINT,
    RECORD,
    RECORD_BYTES,
    SLOT_BYTES,
    Kind,
    Layout,
    Live,
)
from .kept_pictures import KeptPicture, parse_pictures
from .record_validation import is_all_zero, zero_torn_records
from .records import Counters, Meta, Record, RecordingError, Scalar, parse_meta
from .symbol_table import SymbolTable

CHUNK = 2**16
"""The most records that are read at once."""
MARGIN = 64
"""The oldest records, as many as this, are skipped: the writer may soon overwrite them."""

MAX_UNCOUNTED = 2**18
"""The most records that are looked for behind those that the head counts: more than any batch."""

_MOST_READS = 20
"""Of points that change meanwhile; after these they are taken as they are."""

_LIVE = struct.Struct(f"<{len(Live)}Q")
_ID_MASK = 0xFFFF
_KINDS = (Kind.TRANSITION, *Kind)  # by number, from 1; index 0 is not used


class Chunk(NamedTuple):
    """Consecutive records as bytes."""

    first: int
    """The number of the first record."""
    data: bytes
    """16 bytes each; all 0 where a record is torn or overwritten, so that its kind is 0."""

    @property
    def rejected(self) -> int:
        """The number of torn and overwritten records."""
        return sum(not word for _, word, _ in RECORD.iter_unpack(self.data))

    @property
    def end(self) -> int:
        """The number of the record after the last."""
        return self.first + len(self.data) // RECORD_BYTES

    def records(self) -> Iterator[Record]:
        """The intact records."""
        if is_all_zero(self.data):
            return
        for number, (time, word, argument) in enumerate(RECORD.iter_unpack(self.data), self.first):
            if word:
                yield Record(number, time, _KINDS[word >> 28], word & _ID_MASK, argument)


class Recording:
    """A recording, open for reading; the run may continue meanwhile.

    The file is not mapped into memory, and its content is not trusted: a torn, truncated or forged
    file raises a `RecordingError` when it is opened, or gives the records that are intact.

    Attributes:
        path: the path of the file.
        meta: the meta data: run, process, clocks, rows of the chart.
        layout: the sizes of the parts of the file.

    Raises:
        RecordingError: the file at `path` is not a recording, or cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = _open_file(self.path)
        try:
            self.layout = self._read_layout()
            self.meta = self._read_meta()
        except RecordingError as error:
            self.close()
            raise RecordingError(f"cannot read {path}: {error}") from None
        self._table = SymbolTable()
        self._table_bytes_read = 0
        self._end = 0

    def close(self) -> None:
        """Close the file."""
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
        """Whether the path now has another file, or none."""
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except OSError:
            return True

    @property
    def counters(self) -> Counters:
        """The counters, as of the last record outside of a batch, or at its begin or end."""
        return Counters.of(self._live())

    @property
    def closed(self) -> bool:
        """Whether the recorder was detached: no more will be recorded."""
        return self._live()[Live.CLOSED] != 0

    @property
    def revision(self) -> tuple[int, ...]:
        """Differs after each change of the records, the metrics or the table."""
        return self._live()

    @property
    def table(self) -> SymbolTable:
        """The symbol table, with the lines that have been written so far."""
        size = min(self._live()[Live.TABLE_BYTES], self.layout.table_bytes)
        done = self._table_bytes_read
        text = self._read(self.layout.table_at + done, size - done)
        complete = text[: text.rfind(b"\n") + 1]
        for line in complete.splitlines():
            self._table.add(line)
        self._table_bytes_read += len(complete)
        return self._table

    @property
    def end(self) -> int:
        """The number of the next record to be written."""
        counted, window = self._live()[Live.WRITTEN], MARGIN
        end = max(counted, self._end)  # those found before are not read again
        limit = counted + min(self.layout.records, MAX_UNCOUNTED)
        while end < limit:
            data = self._read_records(end, min(window, limit - end))
            words = [word for _, word, _ in RECORD.iter_unpack(data)]
            if 0 in words:
                end += words.index(0)
                break
            end, window = end + len(words), min(2 * window, CHUNK)
        self._end = end
        return end

    @property
    def start(self) -> int:
        """The number of the oldest record that can still be read."""
        return self._oldest(self.end)

    def chunk(self, start: int = 0, most: int = CHUNK) -> Chunk:
        """Read at most `most` records, from number `start` or the oldest that can be read."""
        end = self.end
        first = min(self._first_in_file(max(start, self._oldest(end))), end)
        data = self._read_records(first, min(end - first, most, self._slots_in_file(first)))
        # the writer may have overwritten some of them meanwhile
        overwritten = min(max(0, self._oldest(self.end) - first) * RECORD_BYTES, len(data))
        return Chunk(first, bytes(overwritten) + data[overwritten:])

    def records(self, start: int = 0) -> Iterator[Record]:
        """The records from number `start` to the last one now."""
        end = self.end
        while start < end:
            chunk = self.chunk(start, min(CHUNK, end - start))
            if not chunk.data:
                return
            yield from chunk.records()
            start = chunk.end

    def scalars(self, start: int = 0) -> Iterator[Scalar]:
        """Loss, learning rate and metrics in the records from number `start` on."""
        table, position = self.table, None
        for record in self.records(start):
            if record.kind == Kind.POSITION:
                position = record
            elif record.kind == Kind.SCALAR and position is not None:
                name = table.scalar(record.id)
                yield Scalar(record.time_ns, position.id, position.argument, name, record.value)

    def metrics(self) -> list[Scalar]:
        """Loss, learning rate and metrics of the whole run, by time, however long it is.

        Where there are more than the file has room for, some are left out; the first and the last
        of each are here. A file of version 1 has only those of `scalars`.
        """
        if not self.layout.points:
            return [*self.scalars()]
        names = self.table.scalars
        points = sorted({*self._points()}, key=lambda point: point[:2])
        return [
            Scalar(time, epoch, step, names[identity].name, value)
            for time, identity, epoch, step, value in points
            if identity in names and step < 2**53
        ]

    def _points(self) -> list[tuple[int, int, int, int, float]]:
        """Those that are written; read again if the writer has left some out meanwhile."""
        for _ in range(_MOST_READS):
            live = self._live()
            count = min(live[Live.POINTS], self.layout.points)
            data = self._read(self.layout.points_at, count * POINT.size)
            if live[Live.POINTS_CHANGES] == self._live()[Live.POINTS_CHANGES]:
                break
        return [*POINT.iter_unpack(data[: len(data) // POINT.size * POINT.size])]

    def pictures(self) -> list[KeptPicture]:
        """What was shown of evaluations: the newest of each name, and some earlier ones."""
        for _ in range(_MOST_READS):
            word = self._live()[Live.PICTURES]
            text = self._read(*self.layout.pictures_in_use(word))
            if word == self._live()[Live.PICTURES]:
                return parse_pictures(text)
        return []

    @property
    def picture_revision(self) -> int:
        """How often the pictures were written."""
        return self._live()[Live.PICTURES] >> 32

    def slots(self, offset: int, count: int) -> list[tuple[int, int]]:
        """Read totals at a byte offset, (count, nanoseconds) each."""
        data = self._read(offset, count * SLOT_BYTES)
        return list(struct.iter_unpack("<QQ", data[: len(data) // SLOT_BYTES * SLOT_BYTES]))

    def _oldest(self, end: int) -> int:
        overwritten = end - self.layout.records
        return overwritten + min(MARGIN, self.layout.records) if overwritten > 0 else 0

    def _first_in_file(self, number: int) -> int:
        """The first record from `number` on whose slot is in the file, which may be truncated."""
        return number if self._slots_in_file(number) else number + -number % self.layout.records

    def _slots_in_file(self, number: int) -> int:
        """Count the slots in the file from this record's slot to the end of the ring."""
        size = min(os.fstat(self._file).st_size, self.layout.file_bytes)
        slots = max(0, size - self.layout.ring_at) // RECORD_BYTES
        return max(0, slots - number % self.layout.records)

    def _read_records(self, first: int, count: int) -> bytes:
        """Read records by number; torn and missing ones are all 0."""
        slots = self.layout.records
        slot = first % slots
        until_wrap = min(count, slots - slot)
        ring = self.layout.ring_at
        data = self._read_padded(ring + slot * RECORD_BYTES, until_wrap * RECORD_BYTES)
        data += self._read_padded(ring, (count - until_wrap) * RECORD_BYTES)
        return zero_torn_records(data, first, slots)

    def _read_padded(self, offset: int, size: int) -> bytes:
        return self._read(offset, size).ljust(size, b"\0")

    def _live(self) -> tuple[int, ...]:
        return _LIVE.unpack(self._read_padded(LIVE_AT, _LIVE.size))

    def _read_layout(self) -> Layout:
        try:
            return Layout.unpack(self._read(0, HEAD_BYTES))
        except ValueError as error:
            raise RecordingError(str(error)) from None

    def _read_meta(self) -> Meta:
        return parse_meta(self._read(HEAD_BYTES, self.layout.meta_bytes))

    def _read(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._file, size, offset) if size > 0 else b""
        except OSError as error:
            raise RecordingError(f"cannot read {self.path}: {error.strerror}") from None


def _open_file(path: Path) -> int:
    try:  # without O_NONBLOCK, opening a pipe would block
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RecordingError(f"cannot read {path}: it is not a regular file")
    return descriptor

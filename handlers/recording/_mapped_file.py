"""Create the file of a recording, map it into memory, and write its table and live words."""

from __future__ import annotations

import itertools
import json
import os
import stat
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...events.bus.lock import locked
from ._replaceable_map import ReplaceableMap
from .format import HEAD_BYTES, LIVE_AT, MAX_IDS, UNKNOWN, Layout, Live

TABLE_BYTES = 2**19
TRANSITIONS = 2**12
RECEIVERS = 2**11
POINTS = 2**13
PICTURE_BYTES = 2**20


class RecordingFile:
    """The mapped file; created under a temporary name, and renamed to `path` when it is readable.

    A link at `path` is replaced, not followed. Only its owner can read it, and nobody but root can
    open it for writing. If root cuts it nevertheless, nothing more is recorded, and the process
    goes on. Its blocks are reserved: a disk that fills up later does not kill that process, either.
    A forked process writes to memory of its own.

    Attributes:
        path: its name.
        words: the whole file, as 8-byte words.
        live: the live words, indexed by `Live`.
        mapped: the file in memory.

    Raises:
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path, meta: Mapping[str, Any], records: int) -> None:
        self._meta = text = json.dumps(meta).encode()
        self.layout = Layout(
            *(len(text), TABLE_BYTES, TRANSITIONS, RECEIVERS, records, POINTS, PICTURE_BYTES)
        )
        self.path = path
        self.mapped = _mapped(path, self.layout.pack(), text, self.layout.file_bytes)
        self._bytes = memoryview(self.mapped)
        self.words = self._bytes.cast("Q")
        self.live = self.words[LIVE_AT // 8 : HEAD_BYTES // 8]
        self._ids: dict[tuple[Any, ...], int] = {}
        self._next_ids: dict[str, Iterator[int]] = {}
        self._lines: deque[bytes] = deque()
        self._writing = threading.Lock()  # while it is held, lines only wait to be written

    def identify(self, kind: str, *what: Any, most: int = MAX_IDS) -> int:
        """The id of `what` in records, from 1; added to the table if new.

        0: the table is full, or has no more ids. Several threads may call it; and a garbage
        collection that has the receivers of a run prepared again calls it in the middle of itself.
        """
        known = self._ids.get((kind, *what))
        return self._add(kind, *what, most=most) if known is None else known

    @locked
    def _add(self, kind: str, *what: Any, most: int) -> int:
        if not self._has_room(_table_line(kind, most, what)):
            return 0
        identity = next(self._next_ids.setdefault(kind, itertools.count(1)))
        if identity >= most:
            return 0
        self._lines.append(_table_line(kind, identity, what))
        while self._lines and not self._writing.locked():
            self._write_lines()
        # last: an interrupt before it leaves no id without a line
        return self._ids.setdefault((kind, *what), identity)

    def _write_lines(self) -> None:
        with self._writing:
            while self._lines:
                self._write(self._lines[0])
                self._lines.popleft()

    def _write(self, line: bytes) -> None:
        if self._has_room(line):
            used = self.live[Live.TABLE_BYTES]
            start = self.layout.table_at + used
            self._bytes[start : start + len(line)] = line
            self.live[Live.TABLE_BYTES] = used + len(line)

    def _has_room(self, line: bytes) -> bool:
        return self.live[Live.TABLE_BYTES] + len(line) <= self.layout.table_bytes

    def check(self) -> None:
        """Check that the memory still holds this recording.

        Raises:
            RuntimeError: another program has cut the file, or written to it.
        """
        if self._bytes[HEAD_BYTES : HEAD_BYTES + len(self._meta)] != self._meta:
            raise RuntimeError(
                f"another program has cut or overwritten {self.path}, the recording of this run; "
                "allowed: to read, copy, rename or delete it"
            )

    def set_live(self, place: Live, number: int | None) -> None:
        """Write a live word; None or a number below 0 is written as unknown."""
        self.live[place] = UNKNOWN if number is None or number < 0 else number


def _table_line(kind: str, identity: int, what: tuple[Any, ...]) -> bytes:
    return json.dumps([kind, identity, *what]).encode() + b"\n"


def _mapped(path: Path, head: bytes, meta: bytes, size: int) -> ReplaceableMap:
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "r+b") as file:
            _reserve(file.fileno(), size)
            file.write(head)
            file.seek(HEAD_BYTES)
            file.write(meta)
            file.flush()
            mapped = ReplaceableMap(file.fileno(), size)
            os.chmod(name, stat.S_IRUSR)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return mapped


def _reserve(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)

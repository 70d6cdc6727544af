"""Files that are whole or not there: written through to the disk, hashed on the way, renamed.

A file is safe when its bytes and the entry in its folder have both been synced; a rename when the
folder has been. Everything here goes through `os`, one call a file operation, so that a test can
stop it, or break it, at each of them.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

_PIECE = 1 << 24
_WORTH_A_THREAD = 1 << 20
_TEMPORARY = re.compile(r"\.tmp-\d+-[0-9a-f]{8}")


class Written(NamedTuple):
    """What a file holds, for whoever checks it later."""

    size: int
    """Bytes."""
    sha256: str
    """Of all of them, in hexadecimal digits."""


class _HashedFile(io.RawIOBase):
    """A new file that hashes a large piece on another core while it is written."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._undo = ExitStack()
        self._hashing = self._undo.enter_context(ThreadPoolExecutor(1))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._undo.callback(os.close, self._file)
        self._hash = hashlib.sha256()
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        piece = memoryview(data).cast("B")[:_PIECE]
        if len(piece) < _WORTH_A_THREAD:
            self._hash.update(piece)
            self._put(piece)
        else:
            hashed = self._hashing.submit(self._hash.update, piece)
            try:
                self._put(piece)
            finally:
                hashed.result()  # the memory is the caller's again when this returns
        self._size += len(piece)
        return len(piece)

    def _put(self, piece: memoryview) -> None:
        while piece:
            piece = piece[os.write(self._file, piece) :]

    def sync(self) -> Written:
        """Wait until the disk has it."""
        os.fsync(self._file)
        return Written(self._size, self._hash.hexdigest())

    def close(self) -> None:
        if not self.closed:
            self._undo.close()
        super().close()


def write_file(path: Path, fill: Callable[[IO[bytes]], object]) -> Written:
    """Make a new file of what `fill(file)` writes into it; when this returns, the disk has it.

    Raises:
        OSError: the file is there already; the disk is full.
    """
    with _HashedFile(path) as raw:
        file = io.BufferedWriter(raw, _WORTH_A_THREAD)
        try:
            fill(cast("IO[bytes]", file))
            file.flush()
            return raw.sync()
        finally:
            file.detach()


def hash_file(path: Path) -> Written:
    """What a file holds now. Cost: it is read, at about 2 GB a second."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Written(os.fstat(file.fileno()).st_size, digest.hexdigest())


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, that a power cut leaves there."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Wait until the disk has the entries of a folder: names made, renamed, removed."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def commit(folder: Path, name: Path) -> None:
    """Give a finished folder its name, all at once: nobody ever sees half of it there."""
    sync_folder(folder)
    os.rename(folder, name)
    sync_folder(name.parent)


def discard(folder: Path) -> None:
    """Delete a folder: first its name, so that nobody ever sees half of it there."""
    doomed = temporary_in(folder.parent)
    os.rename(folder, doomed)
    shutil.rmtree(doomed)


def temporary_in(folder: Path) -> Path:
    """A name that is free, and that `is_temporary`."""
    return folder / f".tmp-{os.getpid()}-{secrets.token_hex(4)}"


def is_temporary(path: Path) -> bool:
    """Whether it is what a process that was killed left behind."""
    named = _TEMPORARY.fullmatch(path.name) is not None
    return named and path.is_dir() and not path.is_symlink()

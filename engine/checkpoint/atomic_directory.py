"""Folders that are whole or not there: hashed on the way, written through to the disk, renamed.

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
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, cast

_PIECE = 1 << 28
_WORTH_A_THREAD = 1 << 20
_TEMPORARY = re.compile(r"\.tmp-\d+-[0-9a-f]{8}")


class Written(NamedTuple):
    """What a file holds, for whoever checks it later."""

    size: int
    """Bytes."""
    sha256: str
    """Of all of them, in hexadecimal digits."""


class Draft:
    """A new folder without a name, which gets one when the disk has all of its files.

    Its files are synced all at once, when all are written: the disk then commits them together,
    which takes a third of the time of one after the other. Left without a `commit`, it is deleted.

    Args:
        folder: where it is to be.
    """

    def __init__(self, folder: Path) -> None:
        self.path = temporary_in(folder)
        self._undo = ExitStack()
        self._helpers = ThreadPoolExecutor(4)
        self._unsynced: list[int] = []

    def __enter__(self) -> Draft:
        self._undo.enter_context(self._helpers)
        self._undo.callback(shutil.rmtree, self.path, ignore_errors=True)
        os.mkdir(self.path)
        return self

    def write(self, name: str, fill: Callable[[IO[bytes]], object]) -> Written:
        """Add a file of what `fill(file)` writes into it.

        Raises:
            OSError: the disk is full.
        """
        file = self._opened(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        raw = _HashedFile(file, self._helpers)
        buffered = io.BufferedWriter(raw, _WORTH_A_THREAD)
        try:
            fill(cast("IO[bytes]", buffered))
            buffered.flush()
        except Exception:
            if raw.error is not None:  # torch.save hides it behind one of its own
                raise raw.error from None
            raise
        finally:
            buffered.detach()
        if hasattr(os, "posix_fadvise"):  # have the disk begin now
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        return raw.written

    def commit(self, name: Path) -> None:
        """Give it its name, all at once; when this returns, a power cut does not take it away."""
        if os.name == "posix":
            self._opened(self.path, os.O_RDONLY)
        syncing = [_begun(self._helpers, os.fsync, file) for file in self._unsynced]
        wait(syncing)
        for synced in syncing:
            synced.result()
        os.rename(self.path, name)
        sync_folder(name.parent)

    def _opened(self, path: Path, flags: int) -> int:
        file = os.open(path, flags, 0o666)
        self._undo.callback(os.close, file)
        self._unsynced.append(file)
        return file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._undo.close()


class _HashedFile(io.RawIOBase):
    """An open file that hashes a large piece on another core while it is written."""

    def __init__(self, file: int, helpers: Executor) -> None:
        super().__init__()
        self._file = file
        self._helpers = helpers
        self._hash = hashlib.sha256()
        self._size = 0
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        piece = memoryview(data).cast("B")[:_PIECE]
        if len(piece) < _WORTH_A_THREAD:
            self._hash.update(piece)
            self._put(piece)
        else:
            hashed = _begun(self._helpers, self._hash.update, piece)
            try:
                self._put(piece)
            finally:
                hashed.result()  # the memory is the caller's again when this returns
        self._size += len(piece)
        return len(piece)

    @property
    def written(self) -> Written:
        return Written(self._size, self._hash.hexdigest())

    def _put(self, piece: memoryview) -> None:
        try:
            while piece:
                piece = piece[os.write(self._file, piece) :]
        except OSError as error:
            self.error = error
            raise


def _begun(helpers: Executor, work: Callable[[Any], object], argument: Any) -> Future[Any]:
    try:
        return helpers.submit(work, argument)
    except RuntimeError:  # the interpreter ends, and lets no thread begin any more
        done: Future[Any] = Future()
        done.set_result(work(argument))
        return done


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
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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

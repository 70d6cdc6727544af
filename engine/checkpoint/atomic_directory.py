"""Write a folder completely or not at all: hash its files, sync them to the disk, rename it.

A file is safe when its bytes and its entry in the folder are synced; a rename is safe when the
parent folder is synced. Everything here goes through `os`, one call per file operation, so that a
test can stop the process, or raise an error, at each of them.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self, cast

_MAX_WRITE = 1 << 28  # bytes
_MIN_THREADED_WRITE = 1 << 20  # bytes
_TEMPORARY_NAME = re.compile(r"\.tmp-\d+-[0-9a-f]{8}")


class FileDigest(NamedTuple):
    """Size and checksum of a file."""

    size: int
    """Bytes."""
    sha256: str
    """Of the whole file, in hexadecimal digits."""


class DirectoryFiles:
    """New files in a folder, in a `with` block; they are synced together after all are written.

    The disk then commits them at once, with the first sync, that of the folder.

    Args:
        path: the folder, which exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cleanup = ExitStack()
        self._threads = ThreadPoolExecutor(1, "trackside checkpoint files")
        self._unsynced: list[int] = []

    def __enter__(self) -> Self:
        self._cleanup.enter_context(self._threads)
        return self

    def write(self, name: str, fill: Callable[[IO[bytes]], object]) -> FileDigest:
        """Create a file with the bytes that `fill(file)` writes, and return its digest.

        Raises:
            OSError: the disk is full.
        """
        file = self._open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        raw = _HashingFile(file, self._threads)
        buffered = io.BufferedWriter(raw, _MIN_THREADED_WRITE)
        try:
            fill(cast("IO[bytes]", buffered))
            buffered.flush()
        except Exception:
            if raw.error is not None:  # torch.save raises its own error instead
                raise raw.error from None
            raise
        finally:
            buffered.detach()
        _begin_to_write(file)
        return raw.digest

    def sync(self) -> None:
        """Wait until the files and their names survive a power cut."""
        if os.name == "posix":
            self._open(self.path, os.O_RDONLY)
        for file in reversed(self._unsynced):
            os.fsync(file)

    def _open(self, path: Path, flags: int) -> int:
        file = os.open(path, flags, 0o666)
        self._cleanup.callback(os.close, file)
        self._unsynced.append(file)
        return file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()


class AtomicDirectory(DirectoryFiles):
    """A new folder with a temporary name; `commit` syncs its files and then renames it.

    A folder that is not committed when the block ends is deleted.

    Args:
        folder: the parent folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(temporary_path(folder))

    def __enter__(self) -> Self:
        super().__enter__()
        self._cleanup.callback(shutil.rmtree, self.path, ignore_errors=True)
        os.mkdir(self.path)
        return self

    def commit(self, name: Path) -> None:
        """Rename the folder to `name`, atomically; afterwards it survives a power cut."""
        self.sync()
        os.rename(self.path, name)
        sync_folder(name.parent)


class _HashingFile(io.RawIOBase):
    """An open file that hashes what is written; large pieces in a second thread meanwhile."""

    def __init__(self, file: int, threads: Executor) -> None:
        super().__init__()
        self._file = file
        self._threads = threads
        self._hash = hashlib.sha256()
        self._size = 0
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        piece = memoryview(data).cast("B")[:_MAX_WRITE]
        if len(piece) < _MIN_THREADED_WRITE:
            self._hash.update(piece)
            self._write_all(piece)
        else:
            hashed = _submit(self._threads, self._hash.update, piece)
            try:
                self._write_all(piece)
                _begin_to_write(self._file, self._size, len(piece))  # while it is hashed
            finally:
                hashed.result()  # the caller may reuse the memory when this returns
        self._size += len(piece)
        return len(piece)

    @property
    def digest(self) -> FileDigest:
        return FileDigest(self._size, self._hash.hexdigest())

    def _write_all(self, piece: memoryview) -> None:
        try:
            while piece:
                piece = piece[os.write(self._file, piece) :]
        except OSError as error:
            self.error = error
            raise


def _begin_to_write(file: int, offset: int = 0, size: int = 0) -> None:
    """Have the disk begin to write what was written to a file, where the system can be told."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # it is advice: a file system may not take it
            os.posix_fadvise(file, offset, size, os.POSIX_FADV_DONTNEED)


def _submit(threads: Executor, work: Callable[[Any], object], argument: Any) -> Future[Any]:
    try:
        return threads.submit(work, argument)
    except RuntimeError:  # the interpreter shuts down and starts no more threads
        done: Future[Any] = Future()
        done.set_result(work(argument))
        return done


def hash_file(path: Path) -> FileDigest:
    """Size and checksum of a file. Cost: reads the file, at about 2 GB a second."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileDigest(os.fstat(file.fileno()).st_size, digest.hexdigest())


def make_folder(path: Path) -> None:
    """Create a folder and its parents so that they survive a power cut."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Sync the entries of a folder to the disk: names that were created, renamed or removed."""
    if os.name != "posix":  # other systems cannot open a folder
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def discard(folder: Path) -> None:
    """Delete a folder; rename it first, so that no half of it is ever visible under its name."""
    temporary = temporary_path(folder.parent)
    os.rename(folder, temporary)
    shutil.rmtree(temporary)


def temporary_path(folder: Path) -> Path:
    """An unused path in `folder` for which `is_temporary` returns True."""
    return folder / f".tmp-{os.getpid()}-{secrets.token_hex(4)}"


def is_temporary(path: Path) -> bool:
    """Whether `path` is an unfinished folder, as a killed process leaves behind."""
    name_matches = _TEMPORARY_NAME.fullmatch(path.name) is not None
    return name_matches and path.is_dir() and not path.is_symlink()

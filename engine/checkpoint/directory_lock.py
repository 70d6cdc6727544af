"""A lock so that only one trainer at a time writes to a folder."""

from __future__ import annotations

import errno
import functools
import os
import stat
import struct
import time
import weakref
from pathlib import Path

from .manifest import CheckpointError

_HELD_ELSEWHERE = (errno.EAGAIN, errno.EACCES)
_PAUSES, _SECONDS = 20, 0.05  # one second in all


class DirectoryLock:
    """A lock on a folder, which the system releases when its process ends, also if it is killed.

    It belongs to the open file, not to the process: it excludes other trainers of this process,
    too, and lasts whatever else opens and closes the file. A process forked from the owner, such
    as a loader's worker, gives up its copy as soon as it runs: it does not hold the lock. Before
    it runs, its copy keeps the lock of an owner that was killed.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self._unlock: weakref.finalize[[int], DirectoryLock] | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock, in this process."""
        return self._unlock is not None or os.name != "posix"

    def acquire(self) -> None:
        """Lock the folder; do nothing if this object has locked it.

        Raises:
            CheckpointError: another trainer or process has held the lock for a second; or it cannot
                be locked.
            OSError: the folder cannot be written to.
        """
        if self.is_held:
            return
        _release_in_forked_processes()
        file = self._open()
        self._unlock = weakref.finalize(self, _close, file)
        _held.add(self)  # before it has the lock: a process may be forked while it waits
        try:
            self._lock(file)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Unlock the folder."""
        unlock, self._unlock = self._unlock, None
        _held.discard(self)
        if unlock is not None:
            unlock()

    def _open(self) -> int:
        # O_NONBLOCK: a pipe would wait for its reader
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            file = os.open(self.path, flags, 0o666)
        except OSError as error:
            if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
                raise self._not_a_file() from error
            raise
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise self._not_a_file()
        return file

    def _not_a_file(self) -> CheckpointError:
        return CheckpointError(
            f"cannot lock {self.path.parent}: {self.path} is not a regular file; remove it"
        )

    def _lock(self, file: int) -> None:
        pauses = 0
        while not self._try_to_lock(file):
            if pauses == _PAUSES:
                raise CheckpointError(
                    f"another process writes checkpoints to {self.path.parent}, or another "
                    "trainer of this one; wait until it ends, or use another folder"
                )
            pauses += 1
            time.sleep(_SECONDS)

    def _try_to_lock(self, file: int) -> bool:
        """Lock an open file, unless somebody else holds the lock; returns whether it is locked."""
        try:
            _lock_open_file(file)
        except OSError as error:
            if error.errno in _HELD_ELSEWHERE:
                return False
            raise CheckpointError(f"cannot lock {self.path.parent}: {error}") from error
        return True


def _close(file: int) -> None:
    os.close(file)


_held: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()
"""The locks that this process holds, or waits for."""


def _lock_open_file(file: int) -> None:
    """Lock an open file without waiting. Raises: OSError."""
    import fcntl  # noqa: PLC0415  # only on POSIX

    if hasattr(fcntl, "F_OFD_SETLK"):  # excludes record locks, of earlier versions, too
        whole = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, whole)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@functools.cache
def _release_in_forked_processes() -> None:
    """Have forked processes close their copies of the locked files; once for this process."""

    def release_all() -> None:
        for lock in [*_held]:
            lock.release()

    os.register_at_fork(after_in_child=release_all)

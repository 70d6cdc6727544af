"""A lock so that only one process at a time writes to a folder."""

from __future__ import annotations

import os
from pathlib import Path

from .manifest import CheckpointError


class DirectoryLock:
    """A lock on a folder, which the system releases when its process ends, also if it is killed.

    It is a record lock: a process forked from the owner, such as a loader's worker, does not
    inherit it and cannot keep it after the owner is killed. The same process can take it twice.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """Lock the folder.

        Raises:
            CheckpointError: another process holds the lock.
        """
        if os.name != "posix" or self._file is not None:
            return
        import fcntl  # noqa: PLC0415  # only on POSIX

        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise CheckpointError(
                f"another process writes checkpoints to {self.path.parent}; wait until it ends, "
                "or use another folder"
            ) from None

    def release(self) -> None:
        """Unlock the folder."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

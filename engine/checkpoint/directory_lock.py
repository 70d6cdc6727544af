"""One process writes into a folder at a time."""

from __future__ import annotations

import os
from pathlib import Path

from .manifest import CheckpointError


class FolderLock:
    """A lock on a folder, which the system lifts when the process dies, however it dies.

    A record lock: a process that was forked from the owner, a loader's worker say, does not hold
    it, and cannot keep it when the owner is killed. It does not exclude its own process.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """Take it.

        Raises:
            CheckpointError: another process has it.
        """
        if os.name != "posix" or self._file is not None:
            return
        import fcntl  # noqa: PLC0415  # there is none elsewhere

        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise CheckpointError(
                f"another process writes checkpoints to {self.path.parent}; wait until it ends, "
                "or give another folder"
            ) from None

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

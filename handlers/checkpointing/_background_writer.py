"""Write checkpoints: at once, or in a background thread while training continues."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ...events import PeerError
from ._idle_thread import IdleThread, Job

State = dict[str, Any]


class BackgroundWriter:
    """Writes states, and prunes old checkpoints, which is always done in the background.

    Args:
        copy: returns a copy of a state that training does not change, to be written in the
            background; None: states are written at once, without a copy.

    Attributes:
        failed: whether a write has failed.
    """

    def __init__(self, copy: Callable[[State], State] | None) -> None:
        self.failed = False
        self._copy = copy
        self._pending: Job | None = None
        self._thread = IdleThread("trackside checkpoint")
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return BackgroundWriter, (None,)  # a copy has nothing to write

    def save(
        self,
        capture: Callable[[], State],
        write: Callable[[State], None],
        prune: Callable[[], None],
    ) -> None:
        """Call `write(capture())`, then `prune()`; wait before the write for an earlier save.

        Raises: the error of this save, or of the earlier one.
        """
        self.failed = True
        captured = capture()  # first: the other ranks do it now, whatever became of the earlier one
        self.wait()
        self.failed = True
        if self._copy is None:
            write(captured)
            self._start(prune)
        else:
            copy = self._copy(captured)

            def write_and_prune() -> None:
                write(copy)
                prune()

            self._start(write_and_prune)
        self.failed = False

    def wait(self) -> None:
        """Wait until nothing is pending. Raises: the error of the background thread.

        A forked process waits for nothing: that thread is in its parent.
        """
        pending, self._pending = self._pending, None
        if pending is not None and self._process == os.getpid():
            self.failed = True
            pending.wait()
            self.failed = False

    def check(self) -> None:
        """Raise the error of the background thread, if it has failed already.

        If another rank has failed there, that one raises.
        """
        pending = self._pending
        if pending is not None and pending.done() and not _is_of_a_rank(pending.error()):
            self.wait()

    def close(self) -> None:
        """Wait until nothing is pending, then end the thread. Raises: as `wait`."""
        try:
            self.wait()
        finally:
            self._thread.end()

    def _start(self, job: Callable[[], None]) -> None:
        self._process = os.getpid()
        self._pending = self._thread.submit(job)


def _is_of_a_rank(error: BaseException | None) -> bool:
    return isinstance(error, PeerError) and error.rank >= 0

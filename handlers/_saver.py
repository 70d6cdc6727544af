"""Writing checkpoints at once, or in a thread of its own while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

State = dict[str, Any]


class Saver:
    """Has states written.

    Args:
        copy: gives a copy of a state that training does not change, to be written in the
            background; None: it is written at once, and not copied.

    Attributes:
        failed: whether something could not be written.
    """

    def __init__(self, copy: Callable[[State], State] | None) -> None:
        self.failed = False
        self._copy = copy
        self._thread: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None

    def save(self, take: Callable[[], State], write: Callable[[State], None]) -> None:
        """`write(take())`; in the background, when what is being written there is done.

        Raises: what went wrong, then or now.
        """
        self.wait()
        self.failed = True
        if self._copy is None:
            write(take())
        else:
            copy = self._copy(take())
            self._thread = self._thread or ThreadPoolExecutor(1, "trackside checkpoint")
            try:
                self._writing = self._thread.submit(write, copy)
            except RuntimeError:  # the interpreter ends, and begins nothing any more
                write(copy)
        self.failed = False

    def wait(self) -> None:
        """Until nothing is being written. Raises: what went wrong in the background."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self.failed = True
            writing.result()
            self.failed = False

    def check(self) -> None:
        """Raise what went wrong in the background, if something has by now."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def close(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            thread, self._thread = self._thread, None
            if thread is not None:
                thread.shutdown()

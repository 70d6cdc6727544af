"""Writing checkpoints at once, or in a thread of its own while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

State = dict[str, Any]


class Saver:
    """Has states written, and afterwards, always in the background, tidied up.

    No thread lives longer than its work: a loader may fork its workers at any batch.

    Args:
        copy: gives a copy of a state that training does not change, to be written in the
            background; None: it is written at once, and not copied.

    Attributes:
        failed: whether something could not be written.
    """

    def __init__(self, copy: Callable[[State], State] | None) -> None:
        self.failed = False
        self._copy = copy
        self._working: Future[None] | None = None

    def save(
        self,
        take: Callable[[], State],
        write: Callable[[State], None],
        tidy: Callable[[], None],
    ) -> None:
        """`write(take())`, then `tidy()`, when what was begun before is done.

        Raises: what went wrong, then or now.
        """
        self.wait()
        self.failed = True
        if self._copy is None:
            write(take())
            self._begin(tidy)
        else:
            copy = self._copy(take())

            def work() -> None:
                write(copy)
                tidy()

            self._begin(work)
        self.failed = False

    def wait(self) -> None:
        """Until nothing is under way. Raises: what went wrong in the background."""
        working, self._working = self._working, None
        if working is not None:
            self.failed = True
            working.result()
            self.failed = False

    def check(self) -> None:
        """Raise what went wrong in the background, if something has by now."""
        if self._working is not None and self._working.done():
            self.wait()

    def _begin(self, work: Callable[[], None]) -> None:
        # a thread that has just begun would keep the interpreter for 5 ms, unless it waits
        told = Event()

        def wait_and_work() -> None:
            told.wait()
            work()

        thread = ThreadPoolExecutor(1, "trackside checkpoint")
        try:
            self._working = thread.submit(wait_and_work)
        except RuntimeError:  # the interpreter ends, and lets no thread begin any more
            work()
        thread.shutdown(wait=False)
        told.set()

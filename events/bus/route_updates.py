"""Updates of the routes of a run, one after the other."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable
from typing import TypeAlias

Failed: TypeAlias = dict[Hashable, BaseException]
"""The error of each receiver, or instrument, that could not prepare itself, by identity."""

MOST = 100
"""How often one signal may be updated in a row."""


class Updates:
    """The updates of the routes of a run, of which none is made inside another one.

    A receiver may subscribe others while it prepares itself; and at any moment a garbage collection
    may start, which disconnects what it deletes and closes runs that were abandoned. What a
    receiver has just begun to prepare must not be prepared again before that is done.

    Whoever holds the lock of the bus may use it.

    Attributes:
        count: how often routes were updated: who compares it reads one number, and not all routes.
    """

    __slots__ = ("_asked", "_lock", "count")

    def __init__(self) -> None:
        self.count = 0
        self._asked: dict[Callable[[], Failed], None] = {}
        self._lock = threading.Lock()  # a lock, so that no interrupt leaves it set

    def make(self, update: Callable[[], Failed]) -> Failed:
        """Make an update, and those that are asked for meanwhile; inside one, ask for it.

        Returns:
            The errors of all that were made.

        Raises:
            RuntimeError: each brings about another one.
        """
        self._asked[update] = None
        if self._lock.locked():
            return {}
        with self._lock:
            return self._make_asked()

    def _make_asked(self) -> Failed:
        failed: Failed = {}
        made: Counter[Callable[[], Failed]] = Counter()
        while self._asked:
            update, _ = self._asked.popitem()
            made[update] += 1
            if made[update] > MOST:
                raise RuntimeError(
                    "receivers are subscribed each time that others prepare themselves for the "
                    "transitions of a run (for_transition); subscribe them in `attached`"
                )
            try:
                failed |= update()
            finally:  # whoever sees the new number finds the new receivers
                self.count += 1
        return failed

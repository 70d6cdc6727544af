"""Knowing the last batch of a loader that has no length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..events import Cancel


class LookAhead:
    """An iterator that can tell whether something follows; what it met meanwhile comes later."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self._next: list[Callable[[], Any]] = []

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._next.pop()() if self._next else next(self._batches)

    def is_at_end(self) -> bool:
        if not self._next:
            self._next.append(self._fetched())
        return self._next[0] is _stop

    def _fetched(self) -> Callable[[], Any]:
        try:
            batch = next(self._batches)
        except StopIteration:
            return _stop
        except (Exception, Cancel) as raised:
            return _raising(raised)
        return lambda: batch


def _stop() -> Any:
    raise StopIteration


def _raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail

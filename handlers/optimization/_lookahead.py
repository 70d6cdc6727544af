"""Knowing the last batch of a loader that has no length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ...events import Cancel


class LookAhead:
    """An iterator that can tell whether something follows; what it met meanwhile comes later.

    Attributes:
        loader_state: where the loader stood before the batch that was fetched ahead; None if
            there is no such batch, or the loader cannot tell.
    """

    def __init__(self, batches: Iterator[Any], loader: Any = None) -> None:
        self.loader_state: Any = None
        self._loader = loader
        self._batches = batches
        self._next: list[Callable[[], Any]] = []

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._next:
            return next(self._batches)
        self.loader_state = None
        return self._next.pop()()

    def is_at_end(self) -> bool:
        if not self._next:
            if hasattr(self._loader, "state_dict"):
                self.loader_state = self._loader.state_dict()
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

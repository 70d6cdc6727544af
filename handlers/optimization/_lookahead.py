"""Detecting the last batch of a loader that has no length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ...events import Cancel


class LookaheadIterator:
    """An iterator that can fetch one batch ahead, to know whether another one follows.

    An error or a cancel raised while fetching ahead is raised by the next `next()`.

    Attributes:
        loader_state: state dict of the loader before the batch that was fetched ahead; None if
            no batch was fetched ahead, or the loader has no `state_dict`.
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

    @property
    def has_read_ahead(self) -> bool:
        """Whether the next batch, or the end, has been fetched; checkpoints read it."""
        return bool(self._next)

    def is_at_end(self) -> bool:
        if not self._next:
            if hasattr(self._loader, "state_dict"):
                self.loader_state = self._loader.state_dict()
            self._next.append(self._fetch_next())
        return self._next[0] is _stop

    def _fetch_next(self) -> Callable[[], Any]:
        try:
            batch = next(self._batches)
        except StopIteration:
            return _stop
        except (Exception, Cancel) as raised:
            return _raise_later(raised)
        return lambda: batch


def _stop() -> Any:
    raise StopIteration


def _raise_later(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail

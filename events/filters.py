"""Which sends of a signal a receiver hears: every n-th, the first, those that a predicate picks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .lock import BUS
from .order import Receiver

Predicate = Callable[[Any, Any], bool]


class Filter:
    """Calls `receiver` for every `every`-th send for which `when(trainer, state)` is true.

    Args:
        every: 1 for each of them, 100 for the 100th, the 200th and so on.
        when: None picks all of them.

    Raises:
        TypeError: `every` is no int.
        ValueError: `every` is below 1.
    """

    def __init__(self, receiver: Receiver, every: int, when: Predicate | None) -> None:
        if isinstance(every, bool) or not isinstance(every, int):
            raise TypeError(f"every={every!r} is a {type(every).__name__}; allowed: an int, from 1")
        if every < 1:
            raise ValueError(f"every={every} picks no send; allowed: an int, from 1")
        self.__wrapped__ = receiver
        self.every = every
        self.when = when
        self.heard = 0

    def __call__(self, trainer: Any, state: Any, **extra: Any) -> None:
        if self.when is not None and not self.when(trainer, state):
            return
        self.heard += 1
        if self.heard % self.every == 0:
            self.__wrapped__(trainer, state=state, **extra)


class Once:
    """Calls `receiver` for the first send that reaches it, and detaches it before that."""

    def __init__(self, receiver: Receiver) -> None:
        self.__wrapped__ = receiver
        self.detach: Callable[[], None] = lambda: None

    def __call__(self, trainer: Any, state: Any, **extra: Any) -> None:
        with BUS:  # another thread may be about to say how it is detached
            self.detach()
        self.__wrapped__(trainer, state=state, **extra)

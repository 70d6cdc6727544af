"""Receivers that are called for some sends only: every n-th, the first, or if a predicate holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..utils.argument_checks import check_whole_number
from .lock import BUS_LOCK
from .order import Receiver
from .receiver_call import own_signature

Predicate = Callable[[Any, Any], bool]


class FilteredReceiver:
    """Calls `receiver` for every `every`-th send for which `when(trainer, state)` is true.

    Args:
        every: 1 for each of them, 100 for the 100th, the 200th and so on.
        when: None counts all sends.

    Attributes:
        count: sends for which `when` was true.

    Raises:
        TypeError: `every` is not an int.
        ValueError: `every` is below 1.
    """

    def __init__(self, receiver: Receiver, every: int, when: Predicate | None) -> None:
        check_whole_number(f"trainer.on(…, every={every!r})", every, least=1)
        self.__wrapped__ = receiver
        self.every = every
        self.when = when
        self.count = 0

    def __call__(self, trainer: Any, state: Any, *extra: Any) -> None:
        if self.when is not None and not self.when(trainer, state):
            return
        self.count += 1
        if self.count % self.every == 0:
            self.__wrapped__(trainer, state, *extra)

    __signature__ = own_signature(__call__)


def while_open(scope: str, when: Predicate | None) -> Predicate:
    """Return a predicate: a scope of this name is open, and `when`, if there is one, is true."""

    def predicate(trainer: Any, state: Any) -> bool:
        is_open = scope in state.phase.split(".")[:-1]
        return is_open and (when is None or when(trainer, state))

    return predicate


class OnceReceiver:
    """Calls `receiver` for the first send only, and detaches it before the call."""

    def __init__(self, receiver: Receiver) -> None:
        self.__wrapped__ = receiver
        self.detach: Callable[[], None] = lambda: None

    def __call__(self, trainer: Any, state: Any, *extra: Any) -> None:
        with BUS_LOCK:  # `Publisher.on` may be about to set `detach` in another thread
            self.detach()
        self.__wrapped__(trainer, state, *extra)

    __signature__ = own_signature(__call__)

"""The types of what is subscribed, for type checkers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypedDict, TypeVar

from ..signal_names import OwnName, ScopeName
from .filters import Predicate
from .order import Receiver

Decorator = Callable[[Receiver], Receiver]


class KeywordReceiver(Protocol):
    """A receiver that gets its payload by keyword: `def f(trainer, **payload)`."""

    def __call__(self, trainer: Any, /, *, state: Any) -> Any:
        """Receive a signal."""


F = TypeVar("F", bound=Callable[[Any, Any], Any] | KeywordReceiver)
T = TypeVar("T", bound=Callable[[Any, Any, Any], Any] | KeywordReceiver)
"""Of `any_transition`, which also sends the transition."""
S = TypeVar("S", bound=Callable[[Any, Any], Iterator[None]])


class Options(TypedDict, total=False):
    """The options of `Publisher.on`, which describes them."""

    every: int
    once: bool
    when: Predicate | None
    inside: ScopeName | OwnName | None

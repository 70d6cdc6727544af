"""Scope handlers: a generator with one `yield`, open from `begin_<scope>` to `after_<scope>`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from .order import Receiver, receiver_name

ScopeFunction = Callable[..., Generator[None, None, None]]


class ScopeHandler:
    """Runs a generator function to its `yield` when a scope opens, to its end when it closes.

    The end runs whatever closed the scope: its work, a cancel, an error, an interrupt. A scope
    that closes although this handler never saw it open leaves it alone.
    """

    def __init__(self, function: ScopeFunction) -> None:
        self.function = function
        self.open: Generator[None, None, None] | None = None
        self.closed = False
        self.opener: Receiver = _Opener(self)
        self.closer: Receiver = _Closer(self)

    def close(self) -> None:
        """Open no more, and close what is open: for a handler that is detached inside its scope.

        It may be detached while `begin_<scope>` is being sent, before its opener has run.
        """
        self.closed = True
        generator, self.open = self.open, None
        if generator is not None:
            generator.close()


class _Half:
    """One of the two receivers; named, and ordered, as the function that it runs."""

    def __init__(self, scope: ScopeHandler) -> None:
        self.scope = scope
        self.__wrapped__ = scope.function


class _Opener(_Half):
    opens_scope = True

    def __call__(self, trainer: Any, state: Any) -> None:
        if self.scope.closed:
            return
        generator = self.scope.function(trainer, state)
        for _ in generator:
            self.scope.open = generator
            return


class _Closer(_Half):
    closes_scope = True

    def __call__(self, trainer: Any, state: Any) -> None:
        generator, self.scope.open = self.scope.open, None
        if generator is None:
            return
        for _ in generator:
            generator.close()
            raise RuntimeError(
                f"{receiver_name(self.scope.function)} yielded twice; a scope handler yields "
                "once: what is before the yield opens the scope, what is after it closes it"
            )

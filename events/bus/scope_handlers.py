"""Scope handlers: a generator with one `yield`, open from `begin_<scope>` to `after_<scope>`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from typing import Any, cast

from .order import Receiver, receiver_name, unwrapped
from .signal import ReceiverError

ScopeFunction = Callable[[Any, Any], Iterator[None]]


class ScopeHandler:
    """Runs a generator function to its `yield` when a scope opens, and to its end when it closes.

    The end runs however the scope closes: completed, cancelled, by an error, by an interrupt.
    Nothing runs when a scope closes that was already open when this handler was attached.
    """

    def __init__(self, function: ScopeFunction) -> None:
        self.function = cast(Callable[[Any, Any], Generator[None, None, None]], function)
        self.generator: Generator[None, None, None] | None = None
        self.detached = False
        self.opener: Receiver = _ScopeOpener(self)
        self.closer: Receiver = _ScopeCloser(self)

    def detach(self) -> None:
        """Close the generator if the scope is open, and never open another.

        A handler may be detached while `begin_<scope>` is being sent, before its opener has run.
        """
        self.detached = True
        generator, self.generator = self.generator, None
        if generator is not None:
            generator.close()


def check_scope_function(function: Any, scope: str) -> None:
    """Refuse a function that is no generator function.

    Raises:
        ReceiverError: names it, and what is expected.
    """
    if not (
        inspect.isgeneratorfunction(function) or inspect.isgeneratorfunction(unwrapped(function))
    ):
        raise ReceiverError(
            f"cannot open {receiver_name(function)} with the scope {scope}: it has no yield; a "
            "scope handler yields once: before the yield it opens the scope, after it, it closes it"
        )


class _ScopeReceiver:
    """One of the two receivers; it has the name and the order of the generator function."""

    def __init__(self, handler: ScopeHandler) -> None:
        self.handler = handler
        self.__wrapped__ = handler.function


class _ScopeOpener(_ScopeReceiver):
    opens_scope = True

    def __call__(self, trainer: Any, state: Any) -> None:
        if self.handler.detached:
            return
        generator = self.handler.function(trainer, state)
        for _ in generator:
            self.handler.generator = generator
            return


class _ScopeCloser(_ScopeReceiver):
    closes_scope = True

    def __call__(self, trainer: Any, state: Any) -> None:
        generator, self.handler.generator = self.handler.generator, None
        if generator is None:
            return
        for _ in generator:
            generator.close()
            raise RuntimeError(
                f"{receiver_name(self.handler.function)} yielded twice; a scope handler yields "
                "once: before the yield it opens the scope, after the yield it closes it"
            )

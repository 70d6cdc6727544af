"""A context from a generator that leaves what is raised in it as it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ExactContext(AbstractContextManager[T]):
    """Runs a generator to its `yield`, and the rest when the block ends."""

    def __init__(self, generator: Iterator[T]) -> None:
        self._generator: Any = generator

    def __enter__(self) -> T:
        entered: T = next(self._generator)
        return entered

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if error is None:
            next(self._generator, None)
            return False
        try:
            self._generator.throw(error)
        except BaseException as raised:
            # Python wraps a StopIteration that leaves a generator
            wraps = issubclass(type(error), StopIteration) and type(raised) is RuntimeError
            if raised is error or (wraps and raised.__cause__ is error):
                return False
            if type(raised) is not StopIteration:
                raise
        finally:
            error = None  # its traceback has this frame: the cycle would keep all that it refers to
        return True


def exact_context(function: Callable[P, Iterator[T]]) -> Callable[P, ExactContext[T]]:
    """Make a context of a generator function with one `yield`, around code of a user.

    `contextlib.contextmanager` writes into the exception that passes through, which an exception
    may refuse: another one would then leave the block.
    """

    @functools.wraps(function)
    def enter(*args: P.args, **kwargs: P.kwargs) -> ExactContext[T]:
        return ExactContext(function(*args, **kwargs))

    return enter

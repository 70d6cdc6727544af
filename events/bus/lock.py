"""The lock of the signals: one thread at a time subscribes. Sending takes no lock.

A garbage collection runs in any thread, between any two instructions. What it disconnects neither
waits for the lock nor interrupts its holder: it is disconnected as soon as the lock is free.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

BUS_LOCK = threading.RLock()

_postponed: deque[Callable[[], None]] = deque()


@contextmanager
def bus_locked() -> Generator[None, None, None]:
    """Hold the lock while the block runs."""
    is_outermost = not _is_held_here()
    try:
        with BUS_LOCK:
            if is_outermost:  # first: a new object may have the identity of a deleted one
                _do_postponed()
            yield
    finally:
        _do_postponed_if_free()


def locked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate `function` to hold the lock while it runs."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with bus_locked():
            return function(*args, **kwargs)

    return call


def when_free(function: Callable[P, None]) -> Callable[P, None]:
    """Decorate `function` to run with the lock, at once if it is free, else as soon as it is.

    It does not run any more when the interpreter ends.
    """
    is_finalizing = sys.is_finalizing  # when it is, the names of modules are None

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_finalizing():
            return
        _postponed.append(functools.partial(function, *args, **kwargs))
        _do_postponed_if_free()

    return call


def _do_postponed() -> None:
    while _postponed:
        _postponed.popleft()()


def _do_postponed_if_free() -> None:
    """If the lock is held, its holder does it when it is released."""
    while _postponed and not _is_held_here() and BUS_LOCK.acquire(blocking=False):
        try:
            _do_postponed()
        finally:
            BUS_LOCK.release()


def _is_held_here() -> bool:
    held: bool = BUS_LOCK._is_owned()  # type: ignore[attr-defined]  # threading.Condition's, too
    return held


def _release_after_fork() -> None:
    BUS_LOCK.release()
    _do_postponed_if_free()


if hasattr(os, "register_at_fork"):  # a child has no other thread that could release the lock
    os.register_at_fork(
        before=BUS_LOCK.acquire,
        after_in_parent=_release_after_fork,
        after_in_child=_release_after_fork,
    )

"""The lock of the signals: one thread at a time subscribes. Sending takes no lock.

Handlers take it for what a garbage collection, which disconnects receivers, may change meanwhile.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# reentrant: a garbage collection, which disconnects receivers, may start while the lock is held
BUS_LOCK = threading.RLock()

if hasattr(os, "register_at_fork"):  # a child has no other thread that could release the lock
    os.register_at_fork(
        before=BUS_LOCK.acquire,
        after_in_parent=BUS_LOCK.release,
        after_in_child=BUS_LOCK.release,
    )


def locked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate `function` to hold the lock while it runs."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with BUS_LOCK:
            return function(*args, **kwargs)

    return call

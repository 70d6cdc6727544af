"""The lock of the bus: one thread at a time changes who hears what. Sending takes no lock."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# of one thread it may be taken again: a collection of garbage disconnects, at any moment
BUS = threading.RLock()

if hasattr(os, "register_at_fork"):  # or a child might find it taken, by a thread it has not got
    os.register_at_fork(before=BUS.acquire, after_in_parent=BUS.release, after_in_child=BUS.release)


def locked(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, in one thread at a time."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with BUS:
            return function(*args, **kwargs)

    return call

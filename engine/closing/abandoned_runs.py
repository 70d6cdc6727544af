"""Close the runs that a program has left open, while the interpreter can still run handlers."""

from __future__ import annotations

import atexit
import inspect
from collections.abc import Generator
from weakref import WeakSet

from ...events import Transition

Steps = Generator[Transition, None, None]


def closed_at_exit(run: Steps) -> Steps:
    """Have an iterator closed when the program ends, unless it is gone by then.

    Later Python would close it itself, when modules have lost their content.
    """
    _open.add(run)
    return run


@atexit.register
def _close_all() -> None:
    for run in [*_open]:
        # else a thread that is still there makes its transitions
        if inspect.getgeneratorstate(run) != inspect.GEN_RUNNING:
            run.close()


_open: WeakSet[Steps] = WeakSet()

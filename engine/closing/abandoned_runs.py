"""Close the runs that a program has left open, while the interpreter can still run handlers."""

from __future__ import annotations

import atexit
import inspect
from collections.abc import Generator
from contextlib import ExitStack
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
    with ExitStack() as closings:  # an error of one run keeps no other one open
        for run in [*_open]:
            closings.callback(_close, run)


def _close(run: Steps) -> None:
    # else a thread that is still there makes its transitions
    if inspect.getgeneratorstate(run) != inspect.GEN_RUNNING:
        run.close()


_open: WeakSet[Steps] = WeakSet()

"""The runs around a run: those whose activity or receiver has called it.

They are on the stack of this thread, which is exactly where a cancel that leaves the run arrives.
A run that is suspended between two of its `steps`, or that is in another thread, is not around it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType

from ...events import TrainState
from ..statechart.phase_paths import open_scopes, scope_name

_RUN_LOOP = f"{__name__.rpartition('.closing.')[0]}.loop.run_loop", "RunLoop.run"


def scopes_around(state: TrainState) -> list[str]:
    """Names of the scopes that are open in the runs around that of `state`, innermost first.

    Cost: it walks the stack; for a cancel that the run does not know, and no other.
    """
    phases = (other.phase for other in _states_on_stack() if other is not state)
    return [
        scope_name(path) for phase in phases if type(phase) is str for path in open_scopes(phase)
    ]


def _states_on_stack() -> Iterator[TrainState]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_qualname) == _RUN_LOOP:
            yield frame.f_locals["self"].state
        frame = frame.f_back

"""The phases before and after a run: a run begins and ends at rest, whatever became of another."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from ...events import Cancel, TrainState
from ..statechart.compiled_table import Table
from ..statechart.machine_on_use import MachineOnUse
from ..statechart.phase_paths import RESTING, open_scopes
from .cancel_requests import Requests
from .uninterrupted import complete


class RunContext(Protocol):
    """What surrounds a run: a context manager that can be closed again if that was interrupted."""

    def __enter__(self) -> object:
        """Prepare the run."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        """Restore what was before the run."""

    def close(self) -> None:
        """Restore it if it was not restored."""


def leave_dead_run(machine: MachineOnUse, state: TrainState, first_trigger: str) -> None:
    """Make the phase one from which a run begins, if a handler has left another one there."""
    phase = state.phase
    if type(phase) is not str or open_scopes(phase) or not machine.has_row(phase, first_trigger):
        state.phase = machine.initial or RESTING[0]


def rest(machine: MachineOnUse, state: TrainState, table: Table) -> None:
    """Make the phase one in which no run is live, if the run was given up in another one.

    Without a table no run has begun; the phase is that of the run before.
    """
    phase = state.phase
    is_known = type(phase) is str and (not table or phase in table)
    if not is_known or open_scopes(phase):
        state.phase = "failed" if "failed" in table else machine.initial or RESTING[0]


def end_run(
    session: RunContext,
    machine: MachineOnUse,
    state: TrainState,
    table: Table,
    requests: Requests,
) -> BaseException | None:
    """Leave nothing of a run, whatever broke off its end; safe to repeat.

    Returns:
        What was raised meanwhile.
    """
    return strongest(
        complete(session.close),
        complete(lambda: rest(machine, state, table)),
        complete(requests.end_run),
        complete(table.unlink),
    )


def strongest(*raised: BaseException | None) -> BaseException | None:
    """What a run raises of all that was raised: an interrupt, else an error, else a cancel.

    Of equals the first. `GeneratorExit` only says that the host closed the iterator.
    """
    found = [error for error in raised if error is not None]
    return min(found, key=_rank, default=None)


def _rank(error: BaseException) -> int:
    if issubclass(type(error), (Cancel, GeneratorExit)):
        return 2
    return 1 if issubclass(type(error), Exception) else 0

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
    """The one that escapes of all that was raised: an interrupt, else an error, else a cancel.

    Of equals the first.
    """
    return min((error for error in raised if error is not None), key=_rank, default=None)


def _rank(error: BaseException) -> int:
    if issubclass(type(error), Cancel):
        return 2
    return 1 if issubclass(type(error), Exception) else 0


class HostExit:
    """A context around the loop of a run: whether the host closes the iterator of the run.

    Python then raises a `GeneratorExit` in it, and drops any that leaves it: also one of user code.
    """

    _raised: BaseException | None = None

    def __enter__(self) -> None:
        """Nothing is to be done."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is GeneratorExit:  # of Python: the loop keeps what user code raises
            self._raised = error

    def escaping(self, *raised: BaseException | None) -> BaseException | None:
        """What leaves the iterator of all that was raised; of user code never a `GeneratorExit`."""
        error = strongest(*(one for one in raised if one is not self._raised))
        if error is None:
            return self._raised
        if self._raised is None or not issubclass(type(error), GeneratorExit):
            return error
        renamed = RuntimeError("the run raised GeneratorExit")
        renamed.__cause__ = error
        return renamed

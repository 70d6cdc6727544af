"""The table of a machine of the library, whose rows may have conditions and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from ...events import Publisher, TrainState, Transition
from ...events.bus.signal import link
from .compiled_table import (
    Activity,
    CallbackErrorRow,
    IllegalTransitionError,
    LeafPhase,
    Table,
    TableRow,
    build_table,
)
from .phase_paths import enclosing
from .planned_rows import PlannedRow, PlannedRows, planned_row
from .transitions_internals import (
    Machine,
    MachineError,
    MachineRow,
    fire,
    first_rows,
    has_callbacks,
    phases_of,
    rows_by_source,
    triggers,
)


class LibraryRows:
    """Fires the rows that are not compiled, on the machine itself."""

    def __init__(self, machine: Machine, state: TrainState) -> None:
        self.machine = machine
        self.state = state
        self._elsewhere: dict[Transition, TableRow] = {}  # rows that a condition has chosen

    def fire(self, table: Table, leaf: LeafPhase, trigger: str) -> TableRow:
        """Make the transition on the machine; conditions and callbacks get the TrainState.

        Raises:
            IllegalTransitionError: a condition refused it; the phase is unchanged.
        """
        try:
            moved = fire(self.machine, trigger, self.state)
        except MachineError as error:
            raise IllegalTransitionError(str(error)) from error
        except BaseException as error:
            if self.state.phase == leaf.phase:
                raise
            return CallbackErrorRow(self._row_made(table, leaf, trigger), error)
        if not moved and self.state.phase == leaf.phase:
            raise IllegalTransitionError(f"a condition on {trigger!r} in {leaf.phase} refused it")
        return self._row_made(table, leaf, trigger)

    def _row_made(self, table: Table, leaf: LeafPhase, trigger: str) -> TableRow:
        """The row from `leaf` to the live phase; a condition may have chosen another one."""
        known = leaf.rows[trigger]
        if known.leaf.phase == self.state.phase:
            return known
        made = Transition(trigger, leaf.phase, self.state.phase)
        if made not in self._elsewhere:
            row = TableRow(table[made.destination], known.sender, made)
            table.links.append(link([row]))
            self._elsewhere[made] = row
        return self._elsewhere[made]


def compile_table(
    machine: Machine,
    state: TrainState,
    sender: Publisher,
    activity_of: Callable[[str], Activity | None],
    aliases: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Table:
    """The table of `machine`, its rows compiled where nothing has a callback.

    Cost: about a millisecond; once a run.
    """
    return build_table(
        _planned_rows(machine), LibraryRows(machine, state).fire, sender, activity_of, aliases
    )


def _planned_rows(machine: Machine) -> PlannedRows:
    phases = phases_of(machine)
    watched = {path for path, phase in phases.items() if has_callbacks(phase)}
    rows = rows_by_source(machine)
    plain = not has_callbacks(machine)
    names = [*triggers(machine)]

    def exits(leaf: str) -> Iterator[PlannedRow]:
        found = first_rows(rows, leaf)
        for trigger in filter(found.__contains__, names):
            row = found[trigger]
            made = Transition(trigger, leaf, row.destination)
            yield planned_row(made, row.source, plain and _is_plain(row, leaf, watched))

    return {path: tuple(exits(path)) for path, phase in phases.items() if not phase.states}


def _is_plain(row: MachineRow, phase: str, watched: set[str]) -> bool:
    """Whether no callback is on the row, nor on a phase that it leaves or enters."""
    if row.has_callbacks or not watched:
        return not row.has_callbacks
    touched = {phase, *enclosing(phase), row.destination, *enclosing(row.destination)}
    return watched.isdisjoint(touched)

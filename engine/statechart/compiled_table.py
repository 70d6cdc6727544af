"""A machine compiled for speed: for each leaf phase and trigger the row to take, in a dict.

Stepping the machine through its library costs hundreds of microseconds; a lookup costs tens of
nanoseconds. A row with a condition or a callback is not compiled: it is fired through the
library, at the library's speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from ...events import Publisher, TrainState, Transition, signal
from ...events.bus.signal import Route, link
from .phase_paths import CLOSING, enclosing, inside, kind, scope_name
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

Activity = Callable[[TrainState], str]


class IllegalTransitionError(RuntimeError):
    """A trigger was fired in a phase that has no row for it, or a condition refused it."""


class TableRow(Route):
    """One transition of the table: the leaf that it leads to, and the receivers of its signal."""

    __slots__ = ("leaf",)

    transition: Transition

    def __init__(self, leaf: LeafPhase, sender: Publisher, transition: Transition) -> None:
        super().__init__(signal(transition.trigger), sender, transition)
        self.leaf = leaf


class CallbackErrorRow(TableRow):
    """A transition that was made before a callback of the machine raised.

    It is published like any other; the activity of its leaf then raises the error.
    """

    __slots__ = ("error",)

    def __init__(self, row: TableRow, error: BaseException) -> None:
        super().__init__(LeafPhase(row.leaf.phase, self._fail), row.sender, row.transition)
        self.receivers = row.receivers
        self.error = error

    def _fail(self, state: TrainState) -> str:
        raise self.error


class LeafPhase:
    """A leaf phase of the table: its activity, None where a run ends, and the rows out of it.

    Attributes:
        rows: every legal trigger.
        activity_rows: the triggers that an activity may return.
        closing_rows: the triggers that may be fired while scopes are closed: all of them.
        expected_trigger: the first trigger of the chart that is compiled and an activity may
            return; `expected_row` is its row. Between the batches of a model the cache is cold,
            and a comparison touches less of it than a lookup.

    A lookup of a row that is not compiled, in one of the last two dicts, fires it.
    """

    __slots__ = (
        "activity",
        "activity_rows",
        "closing_rows",
        "expected_row",
        "expected_trigger",
        "phase",
        "rows",
    )

    expected_row: TableRow

    def __init__(self, phase: str, activity: Activity | None) -> None:
        self.phase = phase
        self.activity = activity
        self.activity_rows: dict[str, TableRow] = {}
        self.closing_rows: dict[str, TableRow] = {}
        self.rows: dict[str, TableRow] = {}
        self.expected_trigger: str | None = None

    def own_name(self, trigger: str) -> str:
        """The trigger that an activity means by what it has returned.

        Raises:
            IllegalTransitionError: no activity may return it here.
        """
        rows = self.activity_rows
        return rows.own_name(trigger) if isinstance(rows, CompiledRows) else trigger

    def expect_first_row(self) -> None:
        """Make the first compiled row that an activity may choose the expected one."""
        for trigger, row in self.activity_rows.items():
            self.expected_trigger, self.expected_row = trigger, row
            return


class CompiledRows(dict[str, TableRow]):
    """The compiled rows out of a leaf, by trigger; a lookup of another legal one fires it."""

    __slots__ = ("_aliases", "_allowed", "_leaf", "_library")

    def __init__(
        self, leaf: LeafPhase, library: LibraryRows, aliases: Mapping[str, Sequence[str]]
    ) -> None:
        self._leaf = leaf
        self._aliases = aliases
        self._library = library
        self._allowed: list[str] = []

    def allow(self, trigger: str, compiled: bool) -> None:
        """Allow a row of the leaf; one that is not compiled is left to the library."""
        self._allowed.append(trigger)
        if compiled:
            for name in (trigger, *self._aliases.get(trigger, ())):
                self[name] = self._leaf.rows[trigger]

    def own_name(self, trigger: str) -> str:
        """The trigger that a name, or another one for it, means.

        Raises:
            IllegalTransitionError: it is not allowed here.
        """
        own = next((own for own, names in self._aliases.items() if trigger in names), trigger)
        if own not in self._allowed:
            raise IllegalTransitionError(
                f"cannot fire {own!r} in {self._leaf.phase}; allowed here: "
                f"{', '.join(self._allowed)}"
            )
        return own

    def __missing__(self, trigger: str) -> TableRow:
        return self._library.fire(self._leaf, self.own_name(trigger))


class LibraryRows:
    """Fires the rows that are not compiled, on the machine itself."""

    def __init__(self, machine: Machine, state: TrainState, sender: Publisher) -> None:
        self.machine = machine
        self.state = state
        self.sender = sender
        self.leaves: dict[str, LeafPhase] = {}

    def fire(self, leaf: LeafPhase, trigger: str) -> TableRow:
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
            return CallbackErrorRow(self._row_made(leaf, trigger), error)
        if not moved and self.state.phase == leaf.phase:
            raise IllegalTransitionError(f"a condition on {trigger!r} in {leaf.phase} refused it")
        return self._row_made(leaf, trigger)

    def _row_made(self, leaf: LeafPhase, trigger: str) -> TableRow:
        """The row from `leaf` to the live phase; a condition may have chosen another one."""
        known = leaf.rows[trigger]
        if known.leaf.phase == self.state.phase:
            return known
        row = self.row(leaf, trigger, self.state.phase)
        link([row])
        return row

    def row(self, leaf: LeafPhase, trigger: str, destination: str) -> TableRow:
        """A new row from `leaf` to `destination`; the caller has to link it to its signal."""
        transition = Transition(trigger, leaf.phase, destination)
        return TableRow(self.leaves[destination], self.sender, transition)


def compile_table(
    machine: Machine,
    state: TrainState,
    sender: Publisher,
    activity_of: Callable[[str], Activity | None],
    aliases: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, LeafPhase]:
    """Every leaf phase of `machine` by its path, its rows compiled where nothing has a callback.

    Args:
        aliases: for triggers other names by which an activity may return them, too.

    Cost: about a millisecond; once a run.
    """
    library = LibraryRows(machine, state, sender)
    phases = phases_of(machine)
    for path, phase in phases.items():
        if not phase.states:
            library.leaves[path] = LeafPhase(path, activity_of(path))
    watched = {path for path, phase in phases.items() if has_callbacks(phase)}
    machine_watched, rows = has_callbacks(machine), rows_by_source(machine)
    names = [*triggers(machine)]
    for leaf in library.leaves.values():
        returned, closing = (CompiledRows(leaf, library, aliases) for _ in range(2))
        found = first_rows(rows, leaf.phase)
        for trigger in filter(found.__contains__, names):
            row = found[trigger]
            _check_destination(row, library.leaves)
            leaf.rows[trigger] = library.row(leaf, trigger, row.destination)
            compiled = not machine_watched and _is_plain(row, leaf.phase, watched)
            closing.allow(trigger, compiled)
            if _may_be_returned(leaf.rows[trigger].transition):
                returned.allow(trigger, compiled)
        leaf.activity_rows, leaf.closing_rows = returned, closing
        leaf.expect_first_row()
    link([row for leaf in library.leaves.values() for row in leaf.rows.values()])
    return library.leaves


def _check_destination(row: MachineRow, leaves: dict[str, LeafPhase]) -> None:
    """Check that a row leads to a leaf phase in which the run can continue or end.

    Raises:
        IllegalTransitionError: it does not.
    """
    destination = row.destination
    if destination not in leaves:
        raise IllegalTransitionError(f"{_named(row)} does not lead to a leaf phase")
    if leaves[destination].activity is not None or "." not in destination:
        return
    if scope_name(destination) not in CLOSING:
        raise IllegalTransitionError(
            f"{_named(row)}: that phase has no activity, so a run "
            "would end in it with its scopes open; give it one, activities={…}"
        )


def _named(row: MachineRow) -> str:
    return f"row ({row.source!r} → {row.destination!r})"


def _may_be_returned(transition: Transition) -> bool:
    """Whether an activity may return its trigger.

    It closes no scope, or only the innermost one by `after_<scope>`.
    """
    if kind((transition.trigger, transition.source, transition.destination)) != "normal":
        return False
    scopes = enclosing(transition.source)
    if not scopes or inside(transition.destination, scopes[0]):
        return True
    leaves_outer = len(scopes) > 1 and not inside(transition.destination, scopes[1])
    return not leaves_outer and transition.trigger == f"after_{scope_name(scopes[0])}"


def _is_plain(row: MachineRow, phase: str, watched: set[str]) -> bool:
    """Whether no callback is on the row, nor on a phase that it leaves or enters."""
    if row.has_callbacks or not watched:
        return not row.has_callbacks
    touched = {phase, *enclosing(phase), row.destination, *enclosing(row.destination)}
    return watched.isdisjoint(touched)

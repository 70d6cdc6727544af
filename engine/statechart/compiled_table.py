"""The table of a run: for each leaf phase and trigger the row to take, in a dict.

Stepping the machine through its library costs hundreds of microseconds; a lookup costs tens of
nanoseconds. A row with a condition or a callback is not compiled: it is fired through the
library, at the library's speed (see `machine_rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from ...events import Publisher, TrainState, Transition, signal
from ...events.bus.signal import Links, Route, link
from .phase_paths import CLOSING, scope_name
from .planned_rows import PlannedRow, PlannedRows

Activity = Callable[[TrainState], str]


class Always:
    """An activity that does nothing but return a trigger."""

    __slots__ = ("trigger",)

    def __init__(self, trigger: str) -> None:
        self.trigger = trigger

    def __call__(self, state: TrainState) -> str:
        return self.trigger


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
        owner: the name of what the scope around it trains; empty if none says one; None in a
            chart that says no names.
        onward_row: the row that its activity always leads to, if it is compiled; else None. A
            transition to this leaf that nobody receives is made in one step with that row.

    A lookup of a row that is not compiled, in one of the last two dicts, fires it.
    """

    __slots__ = (
        "activity",
        "activity_rows",
        "closing_rows",
        "expected_row",
        "expected_trigger",
        "onward_row",
        "owner",
        "phase",
        "rows",
    )

    expected_row: TableRow

    def __init__(self, phase: str, activity: Activity | None) -> None:
        self.phase = phase
        self.activity = activity
        self.owner: str | None = None
        self.onward_row: TableRow | None = None
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

    def replace_activity(self, activity: Activity | None) -> None:
        """Do the work of the leaf by another activity, and expect the rows that it leads to."""
        self.activity = activity
        self.expect_rows()

    def expect_rows(self) -> None:
        """Find the first compiled row that an activity may choose, and the only one of `Always`."""
        for trigger, row in self.activity_rows.items():
            self.expected_trigger, self.expected_row = trigger, row
            break
        always = self.activity if isinstance(self.activity, Always) else None
        self.onward_row = None if always is None else self.activity_rows.get(always.trigger)


class Table(dict[str, "LeafPhase"]):
    """The leaf phases of a run by their paths; empty while there is no run.

    Attributes:
        links: keep the receivers of its rows up to date.
    """

    __slots__ = ("links",)

    def __init__(self) -> None:
        self.links: list[Links] = []

    def unlink(self) -> None:
        """Stop updating the rows, which are no longer used; safe to repeat."""
        for links in self.links:
            links.end()


Fire = Callable[[Table, LeafPhase, str], TableRow]
"""Makes the transition of a row that is not compiled, and returns the row that was taken."""


class CompiledRows(dict[str, TableRow]):
    """The compiled rows out of a leaf, by trigger; a lookup of another legal one fires it."""

    __slots__ = ("_aliases", "_allowed", "_fire", "_leaf", "_table")

    def __init__(
        self, leaf: LeafPhase, table: Table, fire: Fire, aliases: Mapping[str, Sequence[str]]
    ) -> None:
        self._leaf = leaf
        self._aliases = aliases
        self._table = table
        self._fire = fire
        self._allowed: list[str] = []

    def allow(self, trigger: str, row: TableRow, compiled: bool) -> None:
        """Allow a row of the leaf; one that is not compiled is left to the library."""
        self._allowed.append(trigger)
        if compiled:
            self[trigger] = row
            if trigger in self._aliases:
                self.update(dict.fromkeys(self._aliases[trigger], row))

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
        return self._fire(self._table, self._leaf, self.own_name(trigger))


def build_table(
    planned: PlannedRows,
    fire: Fire,
    sender: Publisher,
    activity_of: Callable[[str], Activity | None],
    aliases: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Table:
    """Every leaf phase by its path, with its rows.

    Args:
        aliases: for triggers other names by which an activity may return them, too.

    Raises:
        IllegalTransitionError: a row leads to where a run can neither continue nor end.

    Cost: about half a millisecond; once a run.
    """
    table = Table()
    for path in planned:
        table[path] = LeafPhase(path, activity_of(path))
    sound: set[str] = set()
    rows: list[TableRow] = []
    for path, exits in planned.items():
        leaf = table[path]
        returned, closing = (CompiledRows(leaf, table, fire, aliases) for _ in range(2))
        leaf.activity_rows, leaf.closing_rows = returned, closing
        for plan in exits:
            transition, _, is_compiled, may_be_returned = plan
            trigger, _, destination = transition
            if destination not in sound:
                _check_destination(plan, table)
                sound.add(destination)
            leaf.rows[trigger] = row = TableRow(table[destination], sender, transition)
            rows.append(row)
            closing.allow(trigger, row, is_compiled)
            if may_be_returned:
                returned.allow(trigger, row, is_compiled)
        leaf.expect_rows()
    table.links.append(link(rows))
    return table


def _check_destination(plan: PlannedRow, table: Table) -> None:
    """Check that a row leads to a leaf phase in which the run can continue or end.

    Raises:
        IllegalTransitionError: it does not.
    """
    destination = plan.transition.destination
    if destination not in table:
        raise IllegalTransitionError(f"{_named(plan)} does not lead to a leaf phase")
    if table[destination].activity is not None or "." not in destination:
        return
    if scope_name(destination) not in CLOSING:
        raise IllegalTransitionError(
            f"{_named(plan)}: that phase has no activity, so a run "
            "would end in it with its scopes open; give it one, activities={…}"
        )


def _named(plan: PlannedRow) -> str:
    return f"row ({plan.source!r} → {plan.transition.destination!r})"

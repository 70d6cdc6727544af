"""Derives the phases and scopes of a chart from its rows, and checks that it is sound."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from ...events import Transition
from ...events.recovery import RECOVERIES
from ...events.utils.similar_names import did_you_mean
from .chart_error import ChartError
from .composition import Chart
from .phase_paths import CLOSING, Kind, Row, enclosing, inside, kind, scope_name, sources
from .planned_rows import PlannedRow, PlannedRows, nested, planned_row, walk


@dataclass(frozen=True)
class Topology:
    """The phases of a chart, in the order in which its rows first name them; immutable.

    Args:
        rows: a `Chart`, or rows, which become one; `Topology(topology.rows)` is equal, also after a
            trip through JSON.

    Raises:
        ChartError: a row or a phase is unsound.
    """

    rows: Sequence[Row]
    chart: Chart = field(init=False, repr=False, compare=False)
    """The rows, with the roles of the scopes."""

    def __post_init__(self) -> None:
        chart = self.rows if isinstance(self.rows, Chart) else Chart(tuple(self.rows))
        object.__setattr__(self, "chart", chart)
        object.__setattr__(self, "rows", chart.rows)
        if not self.rows:
            raise ChartError("a chart needs rows: (trigger, source or sources, destination)")
        self._check_names()
        self._check_reachable()
        for scope in self.scopes:
            self._check_scope(scope)
        for leaf in self.leaves:
            for trigger in {*RECOVERIES} & {*self.table[leaf]}:
                self._check_recovery(trigger, leaf)

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """For each row what causes it: "normal" (an activity), "cancel" or "error"."""
        return tuple(kind(row) for row in self.rows)

    @cached_property
    def described_rows(self) -> tuple[str, ...]:
        """The rows, one string each, as a state dict has them; without those that only go back.

        No fit is saved in their phases, and one that is resumed does not depend on them.
        """
        back = {row[2] for row in self.rows if row[0] in RECOVERIES}
        kept = [row for row in self.rows if back.isdisjoint((*sources(row), row[2]))]
        return tuple(f"{row[0]}: {' or '.join(sources(row))} → {row[2]}" for row in kept)

    @cached_property
    def initial(self) -> str:
        """The phase in which the machine starts."""
        return sources(self.rows[0])[0]

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """Every leaf phase."""
        return tuple(dict.fromkeys([self.initial, *(row[2] for row in self.rows)]))

    @cached_property
    def phases(self) -> tuple[str, ...]:
        """Every phase, a scope before the phases inside it."""
        return tuple(walk(nested(self.leaves)))

    @cached_property
    def triggers(self) -> tuple[str, ...]:
        """The triggers of the rows."""
        return tuple(dict.fromkeys(row[0] for row in self.rows))

    @cached_property
    def resting(self) -> tuple[str, ...]:
        """The leaves outside every scope, where no activity runs."""
        return tuple(leaf for leaf in self.leaves if "." not in leaf)

    @cached_property
    def scopes(self) -> tuple[str, ...]:
        """The paths of the composite phases."""
        return tuple(dict.fromkeys(c for leaf in self.leaves for c in enclosing(leaf)[::-1]))

    @property
    def roles(self) -> Mapping[str, str]:
        """The roles of the scopes, by name."""
        return self.chart.roles

    @cached_property
    def trained(self) -> tuple[str, ...]:
        """The names of the optimizers that its scopes train; empty if none says a name."""
        return tuple(dict.fromkeys(self.chart.of.values()))

    @cached_property
    def table(self) -> Mapping[str, Mapping[str, str]]:
        """For each leaf, trigger → destination, composite sources expanded."""
        return MappingProxyType({leaf: MappingProxyType(self._next(leaf)) for leaf in self.leaves})

    @cached_property
    def planned_rows(self) -> PlannedRows:
        """What a table has of it, in the order of a machine that is built from it."""
        return {leaf: tuple(self._planned(leaf)) for leaf in self.phases if leaf in self.table}

    def __reduce__(self) -> tuple[type[Topology], tuple[Sequence[Row]]]:
        return Topology, (self.chart,)

    def _next(self, leaf: str) -> dict[str, str]:
        return {trigger: end for trigger, (_, end) in self._exits(leaf).items()}

    def _planned(self, leaf: str) -> Iterator[PlannedRow]:
        exits = self._exits(leaf)
        for trigger in self.triggers:
            if trigger in exits:
                source, destination = exits[trigger]
                yield planned_row(Transition(trigger, leaf, destination), source)

    def _exits(self, leaf: str) -> dict[str, tuple[str, str]]:
        """By trigger the phase that has the row, and its destination.

        The innermost row wins, among those the first.
        """
        exits: dict[str, tuple[str, str]] = {}
        for phase in (leaf, *enclosing(leaf)):
            for row in self._rows_by_source.get(phase, ()):
                exits.setdefault(row[0], (phase, row[2]))
        return exits

    @cached_property
    def _rows_by_source(self) -> Mapping[str, Sequence[Row]]:
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            for source in dict.fromkeys(sources(row)):
                rows.setdefault(source, []).append(row)
        return rows

    def _check_names(self) -> None:
        for row in self.rows:
            if row[2] in self.scopes:
                raise ChartError(f"row {row}: {row[2]} is a composite; a row leads to a leaf")
            for source in sources(row):
                if source not in self.leaves and source not in self.scopes:
                    near = did_you_mean(source, (*self.leaves, *self.scopes))
                    raise ChartError(f"row {row}: no row leads to or into {source!r}{near}")

    def _check_reachable(self) -> None:
        reached, to_visit = {self.initial}, [self.initial]
        while to_visit:
            for destination in self.table[to_visit.pop()].values():
                if destination not in reached:
                    reached.add(destination)
                    to_visit.append(destination)
        for leaf in self.leaves:
            if leaf not in reached:
                rows = [row for row in self.rows if row[2] == leaf]
                raise ChartError(f"row {rows[0]}: {leaf} cannot be reached from {self.initial}")
            if not self.table[leaf]:
                rows = [row for row in self.rows if row[2] == leaf]
                raise ChartError(f"row {rows[0]}: nothing leads out of {leaf}")

    def _check_scope(self, scope: str) -> None:
        name = scope_name(scope)
        if name in map(scope_name, enclosing(scope)):
            raise ChartError(f"{scope}: it lies in a scope {name}, which has the same signals")
        opening = [
            row for row in self.rows if inside(row[2], scope) and self._from_outside(row, scope)
        ]
        if not opening:
            raise ChartError(f"{scope}: no row begin_{name} leads into it from outside")
        for row in opening:
            if row[0] != f"begin_{name}":
                raise ChartError(f"row {row}: it leads into {scope}, so it must be begin_{name}")
        for leaf in self._leaves_of(scope):
            self._check_closes(scope, leaf, opening[0])

    def _check_closes(self, scope: str, leaf: str, opening: Row) -> None:
        """Check that a scope closes from a leaf directly in it: by a cancel, an error, its end."""
        name = scope_name(scope)
        outermost = "." not in scope
        exits = self.table[leaf]
        needed = [f"after_cancel_{name}", "after_error" if outermost else f"after_{name}"]
        missing = [trigger for trigger in needed if trigger not in exits]
        if missing:
            raise ChartError(
                f"row {opening}: {scope} never closes from {leaf}: no {missing[0]}; add a row "
                f"({missing[0]!r}, {scope!r}, …)"
            )
        for trigger in needed:
            end = exits[trigger]
            if trigger == f"after_{name}":
                if inside(end, scope):
                    raise ChartError(f"row {opening}: {trigger} from {leaf} stays in {scope}")
            elif f"after_{name}" not in self.table[end]:
                raise ChartError(f"row {opening}: no after_{name} from {end}")

    def _check_recovery(self, trigger: str, leaf: str) -> None:
        """Check that a row that goes back is still there when the scopes inside are closed."""
        end = self.table[leaf][trigger]
        row = next(row for row in self.rows if row[0] == trigger and row[2] == end)
        inner = [path for path in enclosing(leaf) if not inside(end, path)]
        if len(inner) == len(enclosing(leaf)):
            raise ChartError(f"row {row}: it leads out of every scope that is open in {leaf}")
        at = leaf
        for path in inner:
            at = self.table[at].get(f"after_{scope_name(path)}", at)
            if self.table[at].get(trigger) != end:
                raise ChartError(
                    f"row {row}: from {leaf} {path} closes first, and {at} has no such row; "
                    f"add {at!r} to its sources"
                )
        if (
            scope_name(end) in CLOSING
            and f"after_{scope_name(end.rpartition('.')[0])}" not in (self.table[end])
        ):
            raise ChartError(f"row {row}: nothing closes the scope of {end}")

    def _from_outside(self, row: Row, scope: str) -> bool:
        return any(not inside(source, scope) for source in sources(row))

    def _leaves_of(self, scope: str) -> Iterator[str]:
        return (leaf for leaf in self.leaves if leaf.rpartition(".")[0] == scope)


def topology_of(chart: Sequence[Row]) -> Topology:
    """The topology of a chart; derived and checked once, also for many engines.

    Raises:
        ChartError: a row or a phase is unsound.
    """
    return _known_topology(chart) if isinstance(chart, Chart) else Topology(chart)


@functools.lru_cache(maxsize=16)
def _known_topology(chart: Chart) -> Topology:
    return Topology(chart)


def trained_in(topology: Topology, phase: str) -> str:
    """The name of what the innermost scope around a phase trains; empty if none says one."""
    of = topology.chart.of
    return next((of[n] for path in enclosing(phase) if (n := scope_name(path)) in of), "")

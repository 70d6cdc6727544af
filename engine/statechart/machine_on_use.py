"""The machine of a chart, built when somebody asks for it; until then the chart says the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from ...events import Publisher, TrainState
from .compiled_table import Activity, LeafPhase, Table, TableRow, build_table
from .topology import Topology, trained_in

if TYPE_CHECKING:
    from .transitions_internals import Machine


class MachineOnUse:
    """What a run asks of its machine.

    A host that changes the machine has asked for it. Most do not, and the library takes a
    millisecond to build one, and as long to be imported.
    """

    def __init__(self, topology: Topology, state: TrainState) -> None:
        self._topology = topology
        self._state = state
        self._built: dict[str, Machine] = {}  # at most "machine"; setdefault is atomic

    @property
    def library(self) -> Machine:
        """The machine of the library; the live phase stays."""
        if "machine" not in self._built:
            from .machine import build_machine  # noqa: PLC0415  # see the class

            self._built.setdefault("machine", build_machine(self._topology, self._state))
        return self._built["machine"]

    @property
    def initial(self) -> str:
        """The phase in which it starts; empty if a host has removed it."""
        if not self._built:
            return self._topology.initial
        return self.library.initial or ""

    @property
    def phases(self) -> Collection[str]:
        """Every phase, a scope before the phases inside it."""
        if not self._built:
            return self._topology.phases
        from .transitions_internals import phases_of  # noqa: PLC0415

        return phases_of(self.library)

    @property
    def triggers(self) -> Collection[str]:
        """The triggers of all rows."""
        return [*self.library.events] if self._built else self._topology.triggers

    def has_row(self, phase: str, trigger: str) -> bool:
        """Whether a row leads out of a leaf by `trigger`."""
        if not self._built:
            return trigger in self._topology.table.get(phase, ())
        from .transitions_internals import has_row  # noqa: PLC0415

        return has_row(self.library, phase, trigger)

    def compiled(
        self,
        sender: Publisher,
        activity_of: Callable[[str], Activity | None],
        aliases: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> Table:
        """The table of a run; what a host changes on the machine meanwhile is of the next one."""
        if self._built:
            from .machine_rows import compile_table  # noqa: PLC0415

            table = compile_table(self.library, self._state, sender, activity_of, aliases)
        else:
            planned = self._topology.planned_rows
            table = build_table(planned, _refuse_to_fire, sender, activity_of, aliases)
        if self._topology.chart.of:
            for leaf in table.values():
                leaf.owner = trained_in(self._topology, leaf.phase)
        return table


def _refuse_to_fire(table: Table, leaf: LeafPhase, trigger: str) -> TableRow:
    raise LookupError(f"{trigger} in {leaf.phase}: every row of a chart is compiled")

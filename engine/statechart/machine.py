"""The `transitions` machine of a chart: the authority on what may follow what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transitions.extensions.nesting import HierarchicalMachine, NestedState

from ...events import TrainState
from .phase_paths import sources
from .topology import Topology


class Phase(NestedState):
    """A phase of a chart; a path is written with dots."""

    separator = "."


class Machine(HierarchicalMachine):
    """A hierarchical machine whose phases are written with dots."""

    state_cls = Phase


class LivePhase:
    """The machine's model: its phase is the one in the TrainState."""

    def __init__(self, state: TrainState) -> None:
        self._state = state

    @property
    def phase(self) -> str:
        """The live phase."""
        return self._state.phase

    @phase.setter
    def phase(self, phase: str) -> None:
        self._state.phase = phase


def build(topology: Topology, state: TrainState) -> Machine:
    """A machine with the rows of `topology`, whose model's phase is `state.phase`.

    A host may add states, transitions, conditions and callbacks to it before a run; conditions
    and callbacks are called with the TrainState. Cost: milliseconds.
    """
    return Machine(
        model=LivePhase(state),
        states=_nested(topology.leaves),
        initial=topology.initial,
        transitions=[[row[0], list(sources(row)), row[2]] for row in topology.rows],
        model_attribute="phase",
        auto_transitions=False,
        send_event=False,
    )


def phases_of(machine: Machine) -> dict[str, NestedState]:
    """Every phase of `machine` by its path, a scope before what is in it.

    The library's own walk enters scopes of the machine; an interrupt would leave it in one.
    """
    found: dict[str, NestedState] = {}

    def add(phases: Mapping[str, NestedState], around: str) -> None:
        for name, phase in phases.items():
            found[around + name] = phase
            add(phase.states, f"{around}{name}.")

    add(machine.states, "")
    return found


def _nested(leaves: tuple[str, ...]) -> list[Any]:
    tree: dict[str, Any] = {}
    for leaf in leaves:
        node = tree
        for part in leaf.split("."):
            node = node.setdefault(part, {})
    return _states(tree)


def _states(tree: dict[str, Any]) -> list[Any]:
    return [
        {"name": name, "children": _states(children)} if children else name
        for name, children in tree.items()
    ]

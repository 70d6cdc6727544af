"""Builds the `transitions` machine of a chart: the authority on what may follow what."""

from __future__ import annotations

from typing import Any

from ...events import TrainState
from .phase_paths import sources
from .topology import Topology
from .transitions_internals import Machine


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


def build_machine(topology: Topology, state: TrainState) -> Machine:
    """Build a machine with the rows of `topology`, whose model's phase is `state.phase`.

    A host may add states, transitions, conditions and callbacks to it before a run; conditions
    and callbacks are called with the TrainState. Cost: milliseconds.
    """
    return Machine(
        model=LivePhase(state),
        states=_nested_states(topology.leaves),
        initial=topology.initial,
        transitions=[[row[0], list(sources(row)), row[2]] for row in topology.rows],
        model_attribute="phase",
        auto_transitions=False,
        send_event=False,
    )


def build_machine_beside(topology: Topology, state: TrainState) -> Machine:
    """The same for another machine of a state that has one: the live phase stays."""
    live = state.phase
    try:
        return build_machine(topology, state)
    finally:
        state.phase = live


def _nested_states(leaves: tuple[str, ...]) -> list[Any]:
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

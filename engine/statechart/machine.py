"""Builds the `transitions` machine of a chart: the authority on what may follow what."""

from __future__ import annotations

from typing import Any

from ...events import TrainState
from .phase_paths import sources
from .planned_rows import nested
from .topology import Topology
from .transitions_internals import Machine


class LivePhase:
    """The machine's model: its phase is the one in the TrainState.

    Args:
        initial: its phase while the machine is built, as a run may be live, also of another chart.

    Attributes:
        is_live: whether the machine is built.
    """

    def __init__(self, state: TrainState, initial: str) -> None:
        self._state = state
        self._initial = initial
        self.is_live = False

    @property
    def phase(self) -> str:
        """The live phase."""
        return self._state.phase if self.is_live else self._initial

    @phase.setter
    def phase(self, phase: str) -> None:
        if self.is_live:
            self._state.phase = phase


def build_machine(topology: Topology, state: TrainState) -> Machine:
    """Build a machine with the rows of `topology`, whose model's phase is `state.phase`.

    A host may add states, transitions, conditions and callbacks to it before a run; conditions
    and callbacks are called with the TrainState. Cost: milliseconds.
    """
    model = LivePhase(state, topology.initial)
    machine = Machine(
        model=model,
        states=_states(nested(topology.leaves)),
        initial=topology.initial,
        transitions=[[row[0], list(sources(row)), row[2]] for row in topology.rows],
        model_attribute="phase",
        auto_transitions=False,
        send_event=False,
    )
    model.is_live = True
    return machine


def _states(tree: dict[str, Any]) -> list[Any]:
    return [
        {"name": name, "children": _states(children)} if children else name
        for name, children in tree.items()
    ]

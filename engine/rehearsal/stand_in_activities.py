"""Stand-ins for the activities that call the model, or are the author's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch

from ...events import TrainState
from ..loop.activities import backward, forward, loss, step
from ..loop.activity_registry import ActivityRegistry, path_ends
from ..loop.chart_activities import backward_of_own
from ..statechart.compiled_table import Activity
from ..statechart.phase_paths import enclosing, kind, sources
from ..statechart.topology import Topology

_MODEL_WORK = (forward, loss, backward, backward_of_own, step)


class RehearsalError(ValueError):
    """A fit cannot be rehearsed; the message says why, and what is allowed."""


def stand_ins(
    topology: Topology,
    registry: ActivityRegistry,
    given: Mapping[str, Activity],
    before_step: Callable[[TrainState], None],
) -> Iterator[tuple[str, Activity]]:
    """The leaves whose activities are not run, each with what runs in its place.

    Args:
        given: the activities of the author of the chart.
        before_step: called for each optimizer update, before it is counted.

    Raises:
        RehearsalError: an activity of the author chooses among several ways on.
    """
    own = {*map(id, (*_MODEL_WORK, *given.values()))}
    for leaf in topology.leaves:
        if id(registry.base_of(leaf)) in own:
            yield leaf, _stand_in(leaf, _only_trigger(topology, leaf), before_step)


def _stand_in(leaf: str, trigger: str, before_step: Callable[[TrainState], None]) -> Activity:
    name = path_ends(leaf)[0]

    def stand_in(state: TrainState) -> str:
        if name != "forward" and state.loss is None:
            state.loss = torch.zeros(())
        if name == "step":
            before_step(state)
            state.step += 1
        return trigger

    return stand_in


def _only_trigger(topology: Topology, leaf: str) -> str:
    """The trigger of the innermost rows out of a leaf that are neither cancels nor errors."""
    found: list[str] = []
    for source in (leaf, *enclosing(leaf)):
        found += [r[0] for r in topology.rows if source in sources(r) and kind(r) == "normal"]
        if found and not _repeats(topology, leaf, found[0]):
            break
    if len(found) == 1:
        return found[0]
    raise RehearsalError(
        f"cannot rehearse: the activity of {leaf} is your own, and chooses among "
        f"{', '.join(found)}; only the trainer's own activities can choose in a rehearsal"
    )


def _repeats(topology: Topology, leaf: str, trigger: str) -> bool:
    """Whether a trigger opens a scope that leads back to the leaf, so that another one ends it."""
    closing = trigger.replace("begin_", "after_", 1)
    return closing != trigger and any(r[0] == closing and r[2] == leaf for r in topology.rows)

"""The activities that follow from a chart: of its updates, and of the phases between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import torch

from ...events import TrainState
from ...events.handler_discovery import did_you_mean
from ..statechart.chart_error import ChartError
from ..statechart.compiled_table import Activity
from ..statechart.composition import Chart
from ..statechart.evaluation_chart import evaluation_chart
from ..statechart.phase_paths import enclosing, inside, scope_name
from ..statechart.scope_roles import STANDARD_ROLES
from ..statechart.topology import Topology
from .activities import backward_of_own, return_always, zero_grad
from .activity_registry import ActivityRegistry, Wrapper

_WITHOUT_ACTIVITY = ("cancelled", "failing")


def build_registry(
    topology: Topology,
    defaults: Mapping[str, Activity],
    given: Mapping[str, Activity],
    outermost: Sequence[tuple[str, Wrapper]],
    innermost: Sequence[tuple[str, Wrapper]],
) -> ActivityRegistry:
    """The activities of a chart with their wraps.

    Args:
        defaults: activities of which some may be used by no leaf.
        given: those of the author of the chart, which take the place of others.

    Raises:
        ChartError: a leaf has no activity, or the name of one given is almost that of a leaf.
    """
    chart = topology.chart
    registry = ActivityRegistry(
        {**_named_by_role(chart, defaults), **default_activities(chart), **given},
        (*outermost, *evaluation_wraps(topology)),
        chart.shortcuts,
        partial(owned_activity, topology) if chart.of else None,
        innermost,
    )
    check_activities(topology, registry, given)
    return registry


def _named_by_role(chart: Chart, activities: Mapping[str, Activity]) -> Mapping[str, Activity]:
    """Activities of the standard scopes, for a chart that has other names for these roles."""
    present = {*map(scope_name, chart.scopes)}
    renamed = {
        standard: own
        for standard, role in STANDARD_ROLES.items()
        if standard not in present and (own := chart.scope(role)) is not None
    }
    if not renamed:
        return activities
    triggers = {
        f"{moment}_{standard}": f"{moment}_{own}"
        for standard, own in renamed.items()
        for moment in ("begin", "after")
    }
    return {
        ".".join(renamed.get(part, part) for part in name.split(".")): _translated(act, triggers)
        for name, act in activities.items()
    }


def _translated(activity: Activity, triggers: Mapping[str, str]) -> Activity:
    def translate(state: TrainState) -> str:
        trigger = activity(state)
        return triggers.get(trigger, trigger)

    return translate


def default_activities(chart: Chart) -> dict[str, Activity]:
    """Activities by name, for the scopes with the role of an update, and for `Chart.parts`.

    An update ends by the signal of its own scope; in a scope with parts each part runs once, in
    order. Activities of the same names that a trainer is given take their places.
    """
    activities: dict[str, Activity] = {}
    for name, role in chart.roles.items():
        if role == "update":
            activities[f"{name}.scored"] = return_always("begin_backward")
            activities[f"{name}.zero_grad"] = _zero_grad_and(f"after_{name}")
            activities[f"{name}.accumulated"] = return_always(f"after_{name}")
            if name in chart.of:
                activities[f"{name}.backward"] = backward_of_own
    for path, names in chart.parts.items():
        scope = scope_name(path)
        pauses = (f"{scope}.ready", *(f"{name}_done" for name in names))
        triggers = (*(f"begin_{name}" for name in names), f"after_{scope}")
        for pause, trigger in zip(pauses, triggers, strict=True):
            activities[pause] = return_always(trigger)
    return activities


def _zero_grad_and(trigger: str) -> Activity:
    def activity(state: TrainState) -> str:
        zero_grad(state)
        return trigger

    return activity


def evaluation_wraps(topology: Topology) -> Iterator[tuple[str, Wrapper]]:
    """Gradients are off in the work of every scope with the role of an evaluation.

    The phase `fetch` is left out: a loader may be shared with the training.
    """
    evaluations = [
        path
        for path in topology.scopes
        if topology.chart.roles.get(scope_name(path)) == "evaluation"
    ]
    for leaf in topology.leaves:
        if any(inside(leaf, path) for path in evaluations) and scope_name(leaf) != "fetch":
            yield leaf.removesuffix(".run"), torch.no_grad()


def check_activities(topology: Topology, registry: ActivityRegistry, given: Iterable[str]) -> None:
    """Refuse a leaf without an activity, and an activity whose name is almost that of a leaf.

    Args:
        given: the names of the activities that the author of the chart gave.

    Raises:
        ChartError: names the row or the activity, and what to do.
    """
    for row in topology.rows:
        leaf = row[2]
        if "." not in leaf or scope_name(leaf) in _WITHOUT_ACTIVITY or registry.has_activity(leaf):
            continue
        raise ChartError(
            f"row {row}: no activity for {leaf}, so a run would end in it with its scopes open; "
            f"give it one: activities={{{'.'.join(leaf.split('.')[-2:])!r}: function}}"
        )
    for name in unused_activities(topology, topology.leaves, given):
        ends = {".".join(leaf.split(".")[-n:]) for leaf in topology.leaves for n in (1, 2)}
        if near := did_you_mean(name, sorted(ends)):
            raise ChartError(f"activities={{{name!r}: …}}: the chart has no phase {name!r}{near}")


def check_all_used(topology: Topology, phases: Iterable[str], given: Iterable[str]) -> None:
    """Refuse an activity that no phase uses, those included that a host added to the machine.

    Raises:
        ChartError: names the activity, and the phases.
    """
    phases = list(phases)
    for name in unused_activities(topology, phases, given):
        raise ChartError(
            f"activities={{{name!r}: …}}: the chart has no phase {name!r}; "
            f"phases are {', '.join(phases)}"
        )


def unused_activities(
    topology: Topology, phases: Iterable[str], given: Iterable[str]
) -> Iterator[str]:
    """The names that end the path of no phase, also not of one of `validate()` and `predict()`."""
    leaves = (
        *phases,
        *Topology(evaluation_chart(topology.chart)).leaves,
        *topology.chart.shortcuts.values(),
    )
    paths = [f".{leaf.removesuffix('.run')}" for leaf in leaves]
    yield from (name for name in given if not any(p.endswith(f".{name}") for p in paths))


def owned_activity(topology: Topology, phase: str, activity: Activity) -> Activity:
    """`activity` with the current model, optimizer and loss those of the scope of its phase.

    Those of a scope that its trigger opens are selected before the signal is sent.
    """
    owner = _owner(topology, phase)
    opened = {
        trigger: name
        for trigger, destination in topology.table.get(phase, {}).items()
        if (name := _owner(topology, destination)) and name != owner
    }

    def select_and_run(state: TrainState) -> str:
        if state.of != owner:
            state.select(owner)
        trigger = activity(state)
        if trigger in opened:
            state.select(opened[trigger])
        return trigger

    return select_and_run


def _owner(topology: Topology, phase: str) -> str:
    of = topology.chart.of
    return next((of[n] for path in enclosing(phase) if (n := scope_name(path)) in of), "")

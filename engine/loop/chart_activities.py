"""The activities that follow from a chart: of its updates, and of the phases between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import torch

from ...events import TrainState
from ...events.roles import STANDARD_ROLES
from ...events.utils.argument_checks import check_no_class
from ..statechart.compiled_table import Activity, Always
from ..statechart.composition import Chart
from ..statechart.phase_paths import enclosing, inside, scope_name
from ..statechart.topology import Topology, trained_in
from .activities import zero_grad
from .activity_checks import check_activities, check_gradients
from .activity_registry import ActivityRegistry, Wrapper, path_ends
from .diagnostics import explain_backward
from .fit_reset import begin_inner_fit
from .own_fetch import limited_fetches
from .without_gradients import WithoutGradients


def build_registry(
    topology: Topology,
    defaults: Mapping[str, Activity],
    given: Mapping[str, Activity],
    outermost: Sequence[tuple[str, Wrapper]],
    innermost: Sequence[tuple[str, Wrapper]],
    phases: Callable[[], Iterable[str]],
) -> ActivityRegistry:
    """The activities of a chart with their wraps.

    Args:
        defaults: activities of which some may be used by no leaf.
        given: those of the author of the chart, which take the place of others.
        phases: returns the leaves, with those of an evaluation and those that a host has added.

    Raises:
        ChartError: a leaf has no activity, or the name of one given is almost that of a leaf.
    """
    for name, activity in given.items():
        check_no_class(f"activities={{{name!r}: …}}", activity)
    chart = topology.chart
    own = own_scopes(chart)
    trainers = [(_renamed(name, own), wrapper) for name, wrapper in outermost]
    registry = ActivityRegistry(
        {
            **{_renamed(name, own): activity for name, activity in defaults.items()},
            **default_activities(chart, given),
            **given,
        },
        (*trainers, *evaluation_wraps(topology, trainers)),
        chart.shortcuts,
        partial(owned_activity, topology) if chart.of else None,
        (*innermost, *limited_fetches(topology, given)),
        phases,
        chart.origins,
    )
    check_activities(topology, registry, given)
    check_gradients(topology, registry)
    return registry


def own_scopes(chart: Chart) -> dict[str, str]:
    """Standard scopes that a chart does not have, with its own scope of the same role."""
    present = {*map(scope_name, chart.scopes)}
    return {
        standard: own
        for standard, role in STANDARD_ROLES.items()
        if standard not in present and (own := chart.scope(role)) is not None
    }


def trigger_aliases(chart: Chart) -> dict[str, list[str]]:
    """For triggers of a chart the standard names by which its activities may return them, too."""
    return {
        f"{moment}_{own}": [f"{moment}_{standard}"]
        for standard, own in own_scopes(chart).items()
        for moment in ("begin", "after")
    }


def _renamed(name: str, own: Mapping[str, str]) -> str:
    return ".".join(own.get(part, part) for part in name.split("."))


def default_activities(chart: Chart, given: Iterable[str]) -> dict[str, Activity]:
    """Activities by name, for the scopes with the role of an update, and for `Chart.follows`.

    An update ends by the signal of its own scope. What a trainer is `given` takes their places.
    """
    activities: dict[str, Activity] = {}
    for name, role in chart.roles.items():
        if role == "update":
            activities[f"{name}.scored"] = Always("begin_backward")
            activities[f"{name}.zero_grad"] = _zero_grad_and(f"after_{name}")
            activities[f"{name}.accumulated"] = Always(f"after_{name}")
            if name in chart.of:
                activities[f"{name}.backward"] = backward_of_own
    for phase, trigger in chart.follows.items():
        if not {*path_ends(phase)} & {*given}:
            is_run = trigger.startswith("begin_") and (
                chart.roles.get(trigger.removeprefix("begin_")) != "update"
            )
            activities[phase] = begin_inner_fit(trigger) if is_run else next_due(chart, phase)
    return activities


def backward_of_own(state: TrainState) -> str:
    """Compute the gradients of `loss` for the parameters of the current optimizer only.

    The loss of a generator also depends on the discriminator; its gradients there belong to no
    update, and the next update of the discriminator would add its own to them.
    """
    groups = state.optimizers[state.of].param_groups
    own = [p for group in groups for p in group["params"] if p.requires_grad]
    try:
        state.loss.backward(inputs=own or None)
    except (RuntimeError, AttributeError, TypeError) as error:
        explain_backward(state, error)
        raise
    return "after_backward"


def next_due(chart: Chart, phase: str) -> Activity:
    """An activity that begins the next update that is due in this batch, or closes the scope."""
    sometimes: list[tuple[str, int]] = []
    trigger = chart.follows[phase]
    while (every := chart.every.get(name := trigger.removeprefix("begin_"), 1)) > 1:
        sometimes.append((trigger, every))
        trigger = chart.follows[f"{phase.rpartition('.')[0]}.{name}_done"]
    if not sometimes:
        return Always(trigger)

    def activity(state: TrainState) -> str:
        for update, each in sometimes:
            if (state.batch_index + 1) % each == 0:
                return update
        return trigger

    return activity


def _zero_grad_and(trigger: str) -> Activity:
    def activity(state: TrainState) -> str:
        zero_grad(state)
        return trigger

    return activity


def evaluation_wraps(
    topology: Topology, others: Sequence[tuple[str, Wrapper]]
) -> Iterator[tuple[str, Wrapper]]:
    """Gradients are off in the work of every scope with the role of an evaluation.

    The phase `fetch` is left out: a loader may be shared with the training.

    Args:
        others: wraps by name, which may have switched them off already.
    """
    switched_off = {name for name, wrapper in others if isinstance(wrapper, torch.no_grad)}
    evaluations = [
        path
        for path in topology.scopes
        if topology.chart.roles.get(scope_name(path)) == "evaluation"
    ]
    for leaf in topology.leaves:
        if not any(inside(leaf, path) for path in evaluations) or scope_name(leaf) == "fetch":
            continue
        if switched_off.isdisjoint(path_ends(leaf)):
            yield leaf.removesuffix(".run"), WithoutGradients()


def owned_activity(topology: Topology, phase: str, activity: Activity) -> Activity:
    """`activity` with the current model, optimizer and loss those of the scope of its phase.

    Those of a scope that its trigger opens are selected before the signal is sent. A phase in which
    they are current already gets the activity as it is.
    """
    owner = trained_in(topology, phase)
    opened = {
        trigger: name
        for trigger, destination in topology.table.get(phase, {}).items()
        if (name := trained_in(topology, destination)) and name != owner
    }
    if not opened and not _may_find_another(topology, phase, owner):
        return activity

    def select_and_run(state: TrainState) -> str:
        if state.of != owner:
            state.select(owner)
        trigger = activity(state)
        if trigger in opened:
            state.select(opened[trigger])
        return trigger

    return select_and_run


def _may_find_another(topology: Topology, phase: str, owner: str) -> bool:
    """Whether what another scope trains may be current when a phase is entered.

    A fit may resume outside of the unit. Inside, the phase before has selected what a scope trains,
    unless it was cancelled; where none trains, it has not.
    """
    unit = topology.chart.scope("unit")
    if unit is None or unit not in map(scope_name, enclosing(phase)):
        return True
    before = [leaf for leaf, exits in topology.table.items() if phase in exits.values()]
    return any(
        trained_in(topology, leaf) != owner and (not owner or scope_name(leaf) == "cancelled")
        for leaf in before
    )

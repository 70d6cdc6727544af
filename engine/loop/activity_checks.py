"""Checks that the activities and the phases of a chart go together, before a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import torch

from ...events.utils.similar_names import did_you_mean
from ..statechart.chart_error import ChartError
from ..statechart.evaluation_chart import evaluation_chart
from ..statechart.phase_paths import CLOSING, inside, scope_name
from ..statechart.topology import Topology
from .activities import fetch_training, forward, loss, validate_if_due
from .activity_registry import ActivityRegistry, path_ends


def check_activities(
    topology: Topology, registry: ActivityRegistry, given: Collection[str]
) -> None:
    """Refuse a leaf without an activity, and an activity that runs in no leaf.

    Its name is almost that of a leaf, or that of leaves whose activities have a longer name.

    Args:
        given: the names of the activities that the author of the chart gave.

    Raises:
        ChartError: names the row or the activity, and what to do.
    """
    for row in topology.rows:
        leaf = row[2]
        if "." not in leaf or scope_name(leaf) in CLOSING or registry.base_of(leaf):
            continue
        raise ChartError(
            f"row {row}: no activity for {leaf}, so a run would end in it with its scopes open; "
            f"give it one: activities={{{'.'.join(leaf.split('.')[-2:])!r}: function}}"
        )
    for name in unused_activities(topology, topology.leaves, given):
        ends = {end for leaf in topology.leaves for end in path_ends(leaf)[:2]}
        if near := did_you_mean(name, sorted(ends)):
            raise ChartError(f"activities={{{name!r}: …}}: the chart has no phase {name!r}{near}")
    check_names_reached(topology, registry, given)


def check_names_reached(
    topology: Topology, registry: ActivityRegistry, given: Collection[str]
) -> None:
    """Refuse an activity where all leaves of its name have one with a longer name."""
    for name in given:
        called = [phase for phase in _phases(topology) if name in path_ends(phase)]
        names = dict.fromkeys(repr(registry.name_for(phase)) for phase in called)
        if names and repr(name) not in names:
            raise ChartError(
                f"activities={{{name!r}: …}} would never run: each phase of this name has an "
                f"activity by a longer one; give it as {' or '.join(names)}"
            )


def check_gradients(topology: Topology, registry: ActivityRegistry) -> None:
    """Refuse a scope that computes a loss whose gradients nobody uses or switches off.

    That is one with the trainer's own `forward` and `loss`, without a phase `backward`, and outside
    of an evaluation.

    Raises:
        ChartError: names the row, and the role that switches them off.
    """
    for row in topology.rows:
        leaf = row[2]
        scope = leaf.rpartition(".")[0]
        if registry.base_of(leaf) is not forward or registry.is_wrapped(leaf, torch.no_grad):
            continue
        others = [other for other in topology.leaves if inside(other, scope)]
        has_loss = any(registry.base_of(other) is loss for other in others)
        if has_loss and not any("backward" in path_ends(other) for other in others):
            outer = scope_name(scope.rpartition(".")[0] or scope)
            raise ChartError(
                f"row {row}: no phase `backward` in {scope} uses the gradients, and nobody "
                "switches them off; say that it is a validation: "
                f'roles={{…, {outer!r}: "evaluation"}}'
            )


def check_valid_loader(topology: Topology, registry: ActivityRegistry) -> None:
    """Refuse a `valid_loader` where the trainer would begin a validation that the chart lacks.

    Raises:
        ValueError: says in which phase.
    """
    evaluations = [name for name, role in topology.chart.roles.items() if role == "evaluation"]
    for leaf in topology.leaves:
        begins = {f"begin_{name}" for name in evaluations} & {*topology.table[leaf]}
        if registry.base_of(leaf) is validate_if_due and not begins:
            raise ValueError(
                f"fit(…, valid_loader): the chart has no validation after {leaf}; fit without a "
                "valid_loader, or use a chart with a scope of the role evaluation"
            )


def loader_phase(topology: Topology, registry: ActivityRegistry) -> str | None:
    """The phase in which the trainer reads the train_loader; None where the chart's author does."""
    return next((p for p in topology.leaves if registry.base_of(p) is fetch_training), None)


def check_all_used(topology: Topology, phases: Iterable[str], given: Collection[str]) -> None:
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
    topology: Topology, phases: Iterable[str], given: Collection[str]
) -> Iterator[str]:
    """The names that end the path of no phase, also not of one of `validate()` and `predict()`."""
    if not given:  # most trainers: the chart of an evaluation need not be made
        return
    ends = {end for phase in (*phases, *_phases(topology)) for end in path_ends(phase)}
    yield from (name for name in given if name not in ends)


def _phases(topology: Topology) -> tuple[str, ...]:
    """The leaves, those of an evaluation, and those of which only the activity is left."""
    deciding = (shortcut.phase for shortcut in topology.chart.shortcuts.values())
    return *topology.leaves, *evaluation_phases(topology), *deciding


def evaluation_phases(topology: Topology) -> tuple[str, ...]:
    """The leaves of the chart of `validate()` and `predict()`."""
    return Topology(evaluation_chart(topology.chart)).leaves

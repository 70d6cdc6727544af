"""The variations of a study: which handlers a fit lacks, what its factory is called with."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...events.utils.similar_names import did_you_mean
from ..output.usage_error import UsageError
from .probed_job import ProbedJob

ALL = "all handlers"


class Variation(NamedTuple):
    """One line of the table: a fit of it is made for each seed."""

    label: str
    """`without EMA`, `EMA alone`, `lr=0.003`."""
    without: tuple[str, ...] = ()
    """The handlers that are removed, in the order of the trainer."""
    arguments: tuple[tuple[str, Any], ...] = ()
    """What the factory is called with, besides the seed."""


class Plan(NamedTuple):
    """The variations, of which the first is the one that others are compared with."""

    variations: list[Variation]
    notes: list[str]
    """What was left out, and why."""


def removals(
    job: ProbedJob, chosen: Collection[str] | None = None, alone: bool = False, pairs: bool = False
) -> Plan:
    """All handlers, without each one; with `alone` each one alone, with `pairs` without each two.

    Args:
        job: its handlers, and which of them require others.
        chosen: the names of the handlers to remove; None: all that can be.

    Raises:
        UsageError: there is no such handler, or none that can be removed.
    """
    names = _chosen(job, chosen)
    plan = Plan([Variation(ALL)], [f"{name} stays: {why}" for name, why in job.kept.items()])
    sets = [(f"without {name}", [name]) for name in names]
    if alone and len(names) > 1:
        sets += [(f"{name} alone", [n for n in names if n != name]) for name in names]
    if pairs and len(names) > 2:
        sets += [(f"without {a} and {b}", [a, b]) for a, b in itertools.combinations(names, 2)]
    seen: set[tuple[str, ...]] = set()
    for label, removed in sets:
        without = tuple(name for name in names if name in removed)
        problem = missing_requirement(job, without)
        if problem is not None:
            plan.notes.append(f"not run: {label}, since {problem}")
        elif without not in seen:  # of two handlers, `a alone` is `without b`
            plan.variations.append(Variation(label, without))
        seen.add(without)
    return plan


def settings(vary: Mapping[str, Sequence[Any]]) -> Plan:
    """Every combination of the values of `vary`; the first is compared with."""
    combinations = itertools.product(*([(name, v) for v in vary[name]] for name in vary))
    return Plan([Variation(_setting_label(one), (), one) for one in combinations], [])


def missing_requirement(job: ProbedJob, without: Collection[str] = ()) -> str | None:
    """Which handler would lack another that it requires, if those were removed; None: no one."""
    left = [name for name in job.handlers if name not in without]
    present = {kind for name in left for kind in job.classes[name]}
    for name in left:
        for required in job.requires[name]:
            if required not in present:
                return f"{name} requires {required}"
    return None


def _chosen(job: ProbedJob, chosen: Collection[str] | None) -> list[str]:
    removable = [name for name in job.handlers if name not in job.kept]
    for name in chosen or ():
        if name not in removable:
            raise UsageError(_not_removable(job, removable, name))
    names = removable if chosen is None else [name for name in removable if name in chosen]
    if not names:
        raise UsageError(
            "no handler to remove: the trainer has "
            f"{', '.join(job.handlers) or 'none'}; a study removes those that act on the training"
        )
    return names


def _not_removable(job: ProbedJob, removable: list[str], name: str) -> str:
    if name in job.kept:
        return f"cannot remove {name} in a study: {job.kept[name]}"
    return (
        f"the trainer has no handler {name!r}{did_you_mean(name, removable)}; "
        f"allowed: {', '.join(removable) or 'none'}"
    )


def _setting_label(arguments: tuple[tuple[str, Any], ...]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments)


def each_fit(plan: Plan, seeds: Sequence[int]) -> Iterator[tuple[Variation, int]]:
    """All fits of a plan, seed by seed, so that an early look has pairs."""
    yield from ((variation, seed) for seed in seeds for variation in plan.variations)

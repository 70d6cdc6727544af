"""The rows out of each leaf of a chart, in the order of their triggers, before a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...events import Transition
from .phase_paths import enclosing, inside, kind, scope_name


class PlannedRow(NamedTuple):
    """One transition that a table has a row for.

    Attributes:
        source: the phase that has the row: the leaf, or a scope around it.
        is_compiled: whether nothing but the table knows of it: no condition, no callback.
        may_be_returned: whether an activity may return its trigger.
    """

    transition: Transition
    source: str
    is_compiled: bool
    may_be_returned: bool


PlannedRows = Mapping[str, Sequence[PlannedRow]]
"""By leaf, in the order in which the machine has them: the leaves of a scope beside each other."""


def planned_row(transition: Transition, source: str, is_compiled: bool = True) -> PlannedRow:
    """The row of `source` by which a leaf is left."""
    return PlannedRow(transition, source, is_compiled, _may_be_returned(transition))


def nested(leaves: Sequence[str]) -> dict[str, Any]:
    """The leaves as a tree: the last parts of their paths, in the dicts of the scopes around."""
    tree: dict[str, Any] = {}
    for leaf in leaves:
        node = tree
        for part in leaf.split("."):
            node = node.setdefault(part, {})
    return tree


def walk(tree: Mapping[str, Any], parent: str = "") -> Iterator[str]:
    """The paths of a tree of leaves, a scope before the phases inside it."""
    for name, inner in tree.items():
        yield parent + name
        yield from walk(inner, f"{parent}{name}.")


def _may_be_returned(transition: Transition) -> bool:
    """Whether an activity may return its trigger.

    It closes no scope, or only the innermost one by `after_<scope>`.
    """
    if kind((transition.trigger, transition.source, transition.destination)) != "normal":
        return False
    scopes = enclosing(transition.source)
    if not scopes or inside(transition.destination, scopes[0]):
        return True
    leaves_outer = len(scopes) > 1 and not inside(transition.destination, scopes[1])
    return not leaves_outer and transition.trigger == f"after_{scope_name(scopes[0])}"

"""Functions on the rows of a chart and on the paths of its phases, `fit.epoch.train`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

from ...events import Transition
from ...events.recovery import RECOVERIES

Row = tuple[str, str | tuple[str, ...], str]
"""Trigger, source or sources, destination."""

RESTING = ("idle", "completed", "cancelled", "failed")
"""The phases in which no run is live: the sources of the first row of a chart."""

CLOSING = ("cancelled", "failing", "retried")
"""Names of the leaves without an activity, in which scopes are closing."""

Kind = Literal["normal", "cancel", "error"]


def sources(row: Row) -> tuple[str, ...]:
    """The sources of a row, as a tuple even if there is only one."""
    return (row[1],) if isinstance(row[1], str) else row[1]


def as_source(phases: Sequence[str]) -> str | tuple[str, ...]:
    """Some phases as the source of a row: one as it is, several as a tuple."""
    return phases[0] if len(phases) == 1 else tuple(phases)


def kind(row: Row) -> Kind:
    """What causes a row: an activity, a cancel or a recovery, or an error (`after_error`)."""
    if row[0] == "after_error":
        return "error"
    return "cancel" if row[0].startswith("after_cancel_") or row[0] in RECOVERIES else "normal"


def inside(phase: str, composite: str) -> bool:
    """Whether `phase` is `composite`, or inside it."""
    return phase == composite or phase.startswith(composite + ".")


def lifted(phase: str, path: str) -> str:
    """Where a phase lies when the scope at `path` was taken out."""
    outer = path.rpartition(".")[0]
    return f"{outer}{phase.removeprefix(path)}" if inside(phase, path) else phase


@functools.cache
def enclosing(phase: str) -> tuple[str, ...]:
    """The composites around a phase, innermost first: for `a.b.c` these are `a.b` and `a`."""
    parts = phase.split(".")
    return tuple(".".join(parts[:n]) for n in range(len(parts) - 1, 0, -1))


def scope_name(composite: str) -> str:
    """The name of the scope of a composite phase: the last part of its path."""
    return composite.rpartition(".")[2]


def open_scopes(phase: str, name: str | None = None) -> list[str]:
    """Paths of the scopes open in a phase, innermost first; only those named `name`, if given."""
    return [path for path in enclosing(phase) if name in (None, scope_name(path))]


def closes_scope(transition: Transition) -> bool:
    """Whether its signal is an `after_<scope>`, which all its receivers must get."""
    closed = (f"after_{scope_name(path)}" for path in open_scopes(transition.source))
    return transition.trigger in closed

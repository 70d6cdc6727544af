"""Puts the rows of a chart inside outer scopes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .chart_error import ChartError
from .phase_paths import RESTING, Row, as_source, scope_name, sources


def nest(rows: Sequence[Row], scopes: Sequence[str], names: Sequence[str]) -> tuple[Row, ...]:
    """The rows as the work of the innermost of some scopes, each inside the one before it.

    Raises:
        ChartError: the rows have several outermost scopes; a name is not an identifier, or is that
            of a scope of theirs.
    """
    tried = f"inside({'.'.join(names)!r})"
    outermost = [path for path in scopes if "." not in path]
    if len(outermost) != 1:
        raise ChartError(f"{tried}: outermost scopes are {', '.join(outermost)}; allowed: one")
    for number, name in enumerate(names):
        taken = (*map(scope_name, scopes), *names[:number])
        if not name.isidentifier() or name in taken:
            raise ChartError(f"{tried}: {name!r}; allowed: an identifier that is no scope yet")
    paths = [".".join(names[: n + 1]) for n in range(len(names))]
    return (*_opening(paths), *_inner(rows, outermost[0], paths[-1]), *_closing(paths))


def _opening(paths: Sequence[str]) -> list[Row]:
    first: Row = (f"begin_{paths[0]}", RESTING, f"{paths[0]}.ready")
    return [
        first,
        *(
            (f"begin_{scope_name(path)}", f"{outer}.ready", f"{path}.ready")
            for outer, path in pairwise(paths)
        ),
    ]


def _inner(rows: Sequence[Row], run: str, around: str) -> list[Row]:
    """The rows inside `around`; their run closes like any scope, an error closes all."""
    moved: list[Row] = []
    for row in rows:
        if row[0] == f"begin_{run}":
            moved.append((row[0], f"{around}.ready", f"{around}.{row[2]}"))
        elif row[0] != "after_error" and "." in row[2]:
            left = [f"{around}.{source}" for source in sources(row)]
            moved.append((row[0], as_source(left), f"{around}.{row[2]}"))
    return [*moved, (f"after_{run}", f"{around}.{run}", f"{around}.done")]


def _closing(paths: Sequence[str]) -> list[Row]:
    run, innermost = paths[0], paths[-1]
    ends = (f"{run}.ready", f"{run}.done") if run == innermost else f"{run}.ready"
    return [
        *(
            (f"after_{scope_name(path)}", path, f"{outer}.ready")
            for outer, path in reversed([*pairwise(paths)])
        ),
        *((f"after_cancel_{scope_name(path)}", path, f"{path}.cancelled") for path in paths[::-1]),
        ("after_error", run, f"{run}.failing"),
        ("after_error", ("completed", "cancelled"), "failed"),
        (f"after_{run}", ends, "completed"),
        (f"after_{run}", f"{run}.cancelled", "cancelled"),
        (f"after_{run}", f"{run}.failing", "failed"),
    ]

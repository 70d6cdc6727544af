"""Takes a scope out of the rows of a chart, and leaves what is in it."""

from __future__ import annotations

from collections.abc import Sequence

from .chart_error import ChartError
from .phase_paths import Row, inside, scope_name, sources


def dissolve(rows: Sequence[Row], path: str) -> tuple[tuple[Row, ...], dict[str, str]]:
    """The rows without the scope at `path`, whose phases lie one level further out.

    Returns:
        The rows; and for each trigger that opened or closed the scope, the phase to which it led:
        its activity now decides at once, instead of after a transition.

    Raises:
        ChartError: the scope is outermost, or is not opened and closed by one row each.
    """
    name, outer = scope_name(path), path.rpartition(".")[0]
    if not outer:
        raise ChartError(f"without({name!r}): the outermost scope cannot be taken out")
    opening, closing = _only(rows, f"begin_{name}", path), _only(rows, f"after_{name}", path)
    entry, behind = opening[2], closing[2]
    ends = [
        leaf
        for leaf in dict.fromkeys(row[2] for row in rows)
        if leaf.rpartition(".")[0] == path and leaf not in (entry, f"{path}.cancelled")
    ]
    deciding = {entry: list(sources(opening)), behind: [behind, *ends]}
    if behind in sources(opening):
        deciding[entry] += ends
    gone = (opening, closing, _only(rows, f"after_cancel_{name}", path))
    lifted = [_lifted(row, path, outer, deciding) for row in rows if row not in gone]
    return tuple(lifted), {opening[0]: entry, closing[0]: behind}


def _lifted(row: Row, path: str, outer: str, deciding: dict[str, list[str]]) -> Row:
    def lifted(phase: str) -> str:
        return f"{outer}{phase.removeprefix(path)}" if inside(phase, path) else phase

    found = [new for source in sources(row) for new in deciding.get(source, [source])]
    left = tuple(dict.fromkeys(map(lifted, found)))
    return row[0], left[0] if len(left) == 1 else left, lifted(row[2])


def _only(rows: Sequence[Row], trigger: str, path: str) -> Row:
    """The row that opens, closes or cancels the scope at `path`."""
    found = [
        row
        for row in rows
        if row[0] == trigger
        and (inside(row[2], path) if trigger.startswith("begin_") else path in sources(row))
    ]
    if len(found) != 1:
        raise ChartError(f"without({scope_name(path)!r}): {len(found)} rows {trigger}; allowed: 1")
    return found[0]

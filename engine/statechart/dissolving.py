"""Takes a scope out of the rows of a chart, and leaves what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .chart_error import ChartError
from .phase_paths import Row, as_source, inside, lifted, scope_name, sources


class Shortcut(NamedTuple):
    """What replaces a trigger of a scope that was taken out: another activity decides at once."""

    phase: str
    """The phase to which the trigger led; its activity decides."""
    sources: tuple[str, ...]
    """The phases whose activities may return the trigger."""


def dissolve(rows: Sequence[Row], path: str) -> tuple[tuple[Row, ...], dict[str, Shortcut]]:
    """The rows without the scope at `path`, whose phases lie one level further out.

    Returns:
        The rows; and the shortcuts of the triggers that opened and closed the scope.

    Raises:
        ChartError: the scope is outermost, or is not opened and closed by one row each.
    """
    name, outer = scope_name(path), path.rpartition(".")[0]
    if not outer:
        raise ChartError(f"without({name!r}): the outermost scope cannot be taken out")
    opening, closing = _only(rows, f"begin_{name}", path), _only(rows, f"after_{name}", path)
    entry, behind = opening[2], closing[2]
    repeats = any(row[2] == entry for row in rows if row != opening)
    ends = [
        leaf
        for leaf in dict.fromkeys(row[2] for row in rows)
        if leaf.rpartition(".")[0] == path
        and scope_name(leaf) not in ("cancelled", "restore")
        and (repeats or leaf != entry)
    ]
    is_left = any(row[2] == behind for row in rows if row != closing)
    before = [source for source in sources(opening) if is_left or source != behind]
    begins = [*before, *(ends if repeats or behind in sources(opening) else ())]
    closes = [*([behind] if is_left else ()), *ends, *(before if repeats else ())]
    deciding = {entry: begins, behind: closes}
    gone = (opening, closing, _only(rows, f"after_cancel_{name}", path))
    kept = tuple(_lifted(row, path, deciding) for row in rows if row not in gone)
    return kept, {
        opening[0]: Shortcut(entry, tuple(lifted(at, path) for at in sources(opening))),
        closing[0]: Shortcut(behind, tuple(lifted(at, path) for at in ends)),
    }


def _lifted(row: Row, path: str, deciding: dict[str, list[str]]) -> Row:
    found = [new for source in sources(row) for new in deciding.get(source, [source])]
    left = dict.fromkeys(lifted(phase, path) for phase in found)
    return row[0], as_source([*left]), lifted(row[2], path)


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

"""Takes phases out of the rows of a chart."""

from __future__ import annotations

from collections.abc import Sequence

from .phase_paths import RESTING, Row, as_source, enclosing, inside, sources


def without_sources(row: Row, path: str) -> Row | None:
    """A row without its sources in a scope; None if none is left."""
    left = [source for source in sources(row) if not inside(source, path)]
    return (row[0], as_source(left), row[2]) if left else None


def reachable(rows: Sequence[Row]) -> list[Row]:
    """The rows without sources to which no row leads any more."""
    while True:
        leaves = {*sources(rows[0]), *RESTING, *(row[2] for row in rows)}
        known = leaves | {c for leaf in leaves for c in enclosing(leaf)}
        kept = []
        for row in rows:
            left = [source for source in sources(row) if source in known]
            if left:
                kept.append((row[0], as_source(left), row[2]))
        if kept == list(rows):
            return kept
        rows = kept

"""How a phase is left that has no arrow of its own: by a row of a scope around it."""

from __future__ import annotations

from ..statechart.phase_paths import enclosing, kind, sources
from ..statechart.topology import Topology


def ways_out(topology: Topology) -> dict[str, str]:
    """By leaf: the trigger of the innermost scope's rows, where no row names the leaf itself."""
    by_source: dict[str, list[str]] = {}
    for row in topology.rows:
        if kind(row) == "normal":
            for source in sources(row):
                by_source.setdefault(source, []).append(row[0])
    found = {}
    for leaf in topology.leaves:
        around = next((scope for scope in (leaf, *enclosing(leaf)) if scope in by_source), leaf)
        if around != leaf:
            found[leaf] = by_source[around][0]
    return found

"""The chart as the text of a Mermaid state diagram."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ..layout.box_tree import Box, box_tree
from ..layout.edge_bundles import bundle_rows
from ..statechart.phase_paths import inside, sources
from ..statechart.topology import Topology
from .text_ids import phase_ids, scopes_with_local_rows
from .vote_marks import marked_name

_HEAD = """stateDiagram-v2
    classDef cancel stroke:#b45309,stroke-dasharray:4 3
    classDef error stroke:#c0232c"""


def mermaid(topology: Topology, votes: Collection[str] = ()) -> str:
    """Write every phase and every row.

    Mermaid can draw neither an edge from a composite to a phase inside it nor a dashed edge. So the
    former starts at an extra phase, "any phase of …"; destinations of cancels and errors get a
    class of their own.
    """
    names = phase_ids(topology)
    whole = box_tree(topology, bundle_rows(topology))
    phases = [
        line for box in whole.children for line in _phase(box, topology, names, votes, "    ")
    ]
    return "\n".join([_HEAD, *phases, *_rows(topology, names), *_marks(topology, names), ""])


def _phase(
    box: Box, topology: Topology, names: dict[str, str], votes: Collection[str], indent: str
) -> Iterator[str]:
    opening = f'{indent}state "{_safe(marked_name(box, votes))}" as {names[box.phase]}'
    if not box.children:
        yield opening
        return
    yield f"{opening} {{"
    if box.phase in scopes_with_local_rows(topology):
        yield f'{indent}    state "any phase of {_safe(box.name)}" as any_{names[box.phase]}'
    for child in box.children:
        yield from _phase(child, topology, names, votes, indent + "    ")
    yield f"{indent}}}"


def _rows(topology: Topology, names: dict[str, str]) -> Iterator[str]:
    for row in topology.rows:
        for source in sources(row):
            within = source in topology.scopes and inside(row[2], source)
            start = f"any_{names[source]}" if within else names[source]
            yield f"    {start} --> {names[row[2]]} : {_safe(row[0])}"


def _marks(topology: Topology, names: dict[str, str]) -> Iterator[str]:
    rows = zip(topology.rows, topology.kinds, strict=True)
    marks = {row[2]: kind for row, kind in rows if kind != "normal"}
    return (f"    class {names[phase]} {kind}" for phase, kind in marks.items())


def _safe(text: str) -> str:
    """Replace special characters by their numeric codes."""
    return "".join(c if c.isalnum() or c in "_ " else f"#{ord(c)};" for c in text)

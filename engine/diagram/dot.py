"""The chart as text in the DOT language of Graphviz."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ..layout.box_tree import Box, box_tree
from ..layout.edge_bundles import bundle_rows
from ..statechart.phase_paths import inside, sources
from ..statechart.topology import Topology
from .text_ids import phase_ids, scopes_with_local_rows
from .vote_marks import marked_name

_HEAD = """digraph chart {
    compound=true
    graph [fontname="Helvetica" style=rounded color="#b9c6d3"]
    node [fontname="Helvetica" shape=box style=rounded]
    edge [fontname="Helvetica" fontsize=10]"""
_STYLE = {
    "normal": "",
    "cancel": ' style=dashed color="#b45309" fontcolor="#b45309"',
    "error": ' color="#c0232c" fontcolor="#c0232c"',
}


def dot(topology: Topology, votes: Collection[str] = ()) -> str:
    """Write every phase and every row.

    DOT edges join nodes only. So an edge from a composite starts at one of its leaves and is
    clipped at its border; if it ends inside the composite, it starts at an extra node, "any phase
    of …".
    """
    names = phase_ids(topology)
    whole = box_tree(topology, bundle_rows(topology))
    phases = [
        line for box in whole.children for line in _phase(box, topology, names, votes, "    ")
    ]
    return "\n".join([_HEAD, *phases, *_rows(topology, names), "}", ""])


def _phase(
    box: Box, topology: Topology, names: dict[str, str], votes: Collection[str], indent: str
) -> Iterator[str]:
    if not box.children:
        yield f"{indent}{names[box.phase]} [label={_quoted(marked_name(box, votes))}]"
        return
    yield f"{indent}subgraph cluster_{names[box.phase]} {{"
    yield f"{indent}    label={_quoted(box.name)}"
    if box.phase in scopes_with_local_rows(topology):
        label = _quoted(f"any phase of {box.name}")
        yield f"{indent}    any_{names[box.phase]} [label={label} shape=plaintext]"
    for child in box.children:
        yield from _phase(child, topology, names, votes, indent + "    ")
    yield f"{indent}}}"


def _rows(topology: Topology, names: dict[str, str]) -> Iterator[str]:
    for row, kind in zip(topology.rows, topology.kinds, strict=True):
        for source in sources(row):
            start, cut = names[source], ""
            if source in topology.scopes and inside(row[2], source):
                start = f"any_{start}"
            elif source in topology.scopes:
                cut = f" ltail=cluster_{start}"
                start = names[next(leaf for leaf in topology.leaves if inside(leaf, source))]
            label = f"label={_quoted(row[0])}"
            yield f"    {start} -> {names[row[2]]} [{label}{cut}{_STYLE[kind]}]"


def _quoted(text: str) -> str:
    safe = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'

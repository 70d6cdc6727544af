"""The whole picture: boxes and arrows with absolute positions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..statechart.phase_paths import Kind
from ..statechart.topology import Topology
from .box_layout import lay_out
from .box_tree import Box, box_tree
from .edge_bundles import bundle_rows
from .edge_paths import EdgePath, Point, Polyline, Text, edge_paths

MEETING_DISTANCE = 0.1


@dataclass(frozen=True)
class Arrow:
    """Rows drawn as one arrow; lengths in px from the upper left corner.

    Attributes:
        rows: their numbers in the topology.
        lines: from each source to the destination, in one or several pieces.
        label: the triggers.
    """

    kind: Kind
    rows: tuple[int, ...]
    triggers: tuple[str, ...]
    lines: tuple[Polyline, ...]
    label: Text

    @property
    def tips(self) -> Iterator[tuple[Point, Point]]:
        """The last two points of each line that no other line continues: arrow heads go there."""
        starts = [line[0] for line in self.lines]
        yield from dict.fromkeys(
            (line[-2], line[-1])
            for line in self.lines
            if not any(_touch(line[-1], start) for start in starts)
        )


@dataclass(frozen=True)
class Scene:
    """A chart after the layout: its boxes, parents first, and its arrows."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def build_scene(topology: Topology) -> Scene:
    """Compute the layout of a chart. Cost: a few milliseconds."""
    bundles = bundle_rows(topology)
    whole = box_tree(topology, bundles)
    layouts = lay_out(whole, bundles)
    drawn = [(box, path) for box in layouts for path in edge_paths(layouts[box])]
    _make_absolute(whole)
    paths = [_translated(path, box.x, box.y) for box, path in drawn]
    arrows = [_arrow(path, paths) for path in paths if path.edge.role == "own"]
    return Scene(whole.width, whole.height, tuple(whole.walk())[1:], tuple(arrows))


def _make_absolute(box: Box) -> None:
    for child in box.children:
        child.x += box.x
        child.y += box.y
        _make_absolute(child)


def _translated(path: EdgePath, x: float, y: float) -> EdgePath:
    return replace(
        path,
        polylines=tuple(tuple((px + x, py + y) for px, py in line) for line in path.polylines),
        label=replace(path.label, x=path.label.x + x, y=path.label.y + y),
    )


def _arrow(path: EdgePath, paths: list[EdgePath]) -> Arrow:
    """Join the path of an edge with its parts inside the boxes of its sources and destination."""
    bundles = path.edge.bundles
    parts = [p for p in paths if p.edge.role != "own" and any(b in p.edge.bundles for b in bundles)]
    exits = [line for part in parts if part.edge.role == "exit" for line in part.polylines]
    entries = [part for part in parts if part.edge.role == "entry"]
    return Arrow(
        kind=path.edge.kind,
        rows=tuple(sorted({row for bundle in bundles for row in bundle.rows})),
        triggers=tuple(dict.fromkeys(t for bundle in bundles for t in bundle.triggers)),
        lines=(
            *_lines_before(path.polylines, exits),
            *path.polylines,
            *_lines_after(path, entries, paths),
        ),
        label=path.label,
    )


def _lines_before(lines: tuple[Polyline, ...], exits: list[Polyline]) -> Iterator[Polyline]:
    """Lines that end where the given lines start, from the inside out."""
    before = tuple(line for line in exits if any(_touch(line[-1], other[0]) for other in lines))
    if before:
        yield from _lines_before(before, exits)
        yield from before


def _lines_after(
    path: EdgePath, entries: list[EdgePath], paths: list[EdgePath]
) -> Iterator[Polyline]:
    """Lines from a border to the destination: of the edge that ends there, or else of all."""
    end = path.polylines[-1][-1]
    for entry in entries:
        start = entry.polylines[0][0]
        if _touch(end, start) or not any(_touch(p.polylines[-1][-1], start) for p in paths):
            yield from entry.polylines
            end = entry.polylines[0][-1]


def _touch(one: Point, other: Point) -> bool:
    return math.dist(one, other) < MEETING_DISTANCE

"""The whole picture: boxes and arrows with their places in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..statechart.phase_paths import Kind
from ..statechart.topology import Topology
from .box_layout import lay_out
from .box_tree import Box, box_tree
from .edge_bundles import lift
from .edge_paths import Line, Point, Stroke, Text, strokes

TOGETHER = 0.1


@dataclass(frozen=True)
class Arrow:
    """Rows drawn as one arrow; lengths in px from the upper left corner.

    Attributes:
        rows: their numbers in the topology.
        lines: from each source to the destination, in one piece or in several.
        label: the triggers.
        count: where a number fits.
    """

    kind: Kind
    rows: tuple[int, ...]
    triggers: tuple[str, ...]
    lines: tuple[Line, ...]
    label: Text
    count: Text

    @property
    def tips(self) -> Iterator[tuple[Point, Point]]:
        """Where it has a head: the last two points of each line that no other one continues."""
        starts = [line[0] for line in self.lines]
        yield from dict.fromkeys(
            (line[-2], line[-1])
            for line in self.lines
            if not any(_meet(line[-1], start) for start in starts)
        )


@dataclass(frozen=True)
class Drawing:
    """A chart with places for everything: its phases from the outside in, and its arrows."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def draw(topology: Topology) -> Drawing:
    """Lay a chart out. Cost: a few milliseconds."""
    bundles = lift(topology)
    whole = box_tree(topology, bundles)
    channels = lay_out(whole, bundles)
    drawn = [(box, stroke) for box in channels for stroke in strokes(channels[box])]
    _make_absolute(whole)
    found = [_moved(stroke, box.x, box.y) for box, stroke in drawn]
    arrows = [_arrow(stroke, found) for stroke in found if stroke.wire.role == "own"]
    return Drawing(whole.width, whole.height, tuple(whole.walk())[1:], tuple(arrows))


def _make_absolute(box: Box) -> None:
    for child in box.children:
        child.x += box.x
        child.y += box.y
        _make_absolute(child)


def _moved(stroke: Stroke, x: float, y: float) -> Stroke:
    return replace(
        stroke,
        lines=tuple(tuple((px + x, py + y) for px, py in line) for line in stroke.lines),
        label=replace(stroke.label, x=stroke.label.x + x, y=stroke.label.y + y),
        count=replace(stroke.count, x=stroke.count.x + x, y=stroke.count.y + y),
    )


def _arrow(stroke: Stroke, found: list[Stroke]) -> Arrow:
    """A stroke, with its parts inside of the boxes from which and to which it leads."""
    bundles = stroke.wire.bundles
    parts = [s for s in found if s.wire.role != "own" and any(b in s.wire.bundles for b in bundles)]
    exits = [line for s in parts if s.wire.role == "exit" for line in s.lines]
    entries = [s for s in parts if s.wire.role == "entry"]
    return Arrow(
        kind=stroke.wire.kind,
        rows=tuple(sorted({row for bundle in bundles for row in bundle.rows})),
        triggers=tuple(dict.fromkeys(t for bundle in bundles for t in bundle.triggers)),
        lines=(
            *_leading_to(stroke.lines, exits),
            *stroke.lines,
            *_going_on(stroke, entries, found),
        ),
        label=stroke.label,
        count=stroke.count,
    )


def _leading_to(lines: tuple[Line, ...], exits: list[Line]) -> Iterator[Line]:
    """The lines that end where others begin, from the inside out."""
    before = tuple(line for line in exits if any(_meet(line[-1], other[0]) for other in lines))
    if before:
        yield from _leading_to(before, exits)
        yield from before


def _going_on(stroke: Stroke, entries: list[Stroke], found: list[Stroke]) -> Iterator[Line]:
    """Lines from a border to the destination: of that arrow which leads to it, or else of all."""
    end = stroke.lines[-1][-1]
    for entry in entries:
        start = entry.lines[0][0]
        if _meet(end, start) or not any(_meet(s.lines[-1][-1], start) for s in found):
            yield from entry.lines
            end = entry.lines[0][-1]


def _meet(one: Point, other: Point) -> bool:
    return math.dist(one, other) < TOGETHER

"""The whole picture: boxes and arrows with their places in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .boxes import Box, box_tree
from .channels import Point, Stroke, Text
from .layout import lay_out
from .lifting import lift
from .phases import Kind

if TYPE_CHECKING:
    from .topology import Topology

Line = tuple[Point, ...]


@dataclass(frozen=True)
class Arrow:
    """Rows drawn as one arrow; lengths in px from the upper left corner.

    Attributes:
        rows: their numbers in the topology.
        lines: from each source to the destination.
        label: the triggers.
        count: where a number fits.
    """

    kind: Kind
    rows: tuple[int, ...]
    lines: tuple[Line, ...]
    label: Text
    count: Text

    @property
    def tips(self) -> Iterator[tuple[Point, Point]]:
        """Where it has a head: the last two points of each line that no other one continues."""
        starts = {line[0] for line in self.lines}
        ends = ((line[-2], line[-1]) for line in self.lines if line[-1] not in starts)
        yield from dict.fromkeys(ends)


@dataclass(frozen=True)
class Drawing:
    """A chart with places for everything."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def draw(topology: Topology) -> Drawing:
    """Lay a chart out. Cost: a few milliseconds."""
    bundles = lift(topology)
    whole = box_tree(topology, bundles)
    strokes: dict[Box, list[Stroke]] = {}
    lay_out(whole, bundles, strokes)
    _make_absolute(whole)
    own = [(box, stroke) for box in whole.walk() for stroke in strokes.get(box, ())]
    arrows = [_arrow(box, stroke, own) for box, stroke in own if stroke.wire.role == "own"]
    return Drawing(whole.width, whole.height, tuple(whole.walk())[1:], tuple(arrows))


def _make_absolute(box: Box) -> None:
    for child in box.children:
        child.x += box.x
        child.y += box.y
        _make_absolute(child)


def _arrow(box: Box, stroke: Stroke, all_strokes: list[tuple[Box, Stroke]]) -> Arrow:
    assert stroke.label is not None
    assert stroke.count is not None
    bundles = set(stroke.wire.bundles)
    parts = {"exit": [], "own": list(_moved(box, stroke)), "entry": []}
    for other_box, other in all_strokes:
        if other.wire.role != "own" and bundles & set(other.wire.bundles):
            parts[other.wire.role] += _moved(other_box, other)
    return Arrow(
        stroke.wire.bundles[0].kind,
        tuple(sorted({row for bundle in bundles for row in bundle.rows})),
        (*parts["exit"], *parts["own"], *parts["entry"]),
        replace(stroke.label, x=stroke.label.x + box.x, y=stroke.label.y + box.y),
        replace(stroke.count, x=stroke.count.x + box.x, y=stroke.count.y + box.y),
    )


def _moved(box: Box, stroke: Stroke) -> Iterator[Line]:
    return (
        tuple((round(x + box.x, 2), round(y + box.y, 2)) for x, y in line) for line in stroke.lines
    )

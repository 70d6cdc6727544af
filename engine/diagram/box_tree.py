"""The boxes of the picture: a nested tree, each level in columns and a stack beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ..statechart.phase_paths import enclosing
from ..statechart.topology import Topology
from .edge_bundles import WHOLE, Bundle

Side = Literal["left", "right"]


@dataclass(eq=False)
class Box:
    """A phase in the picture; lengths in px, places relative to the box around it.

    Attributes:
        axis: from its left side to the line on which its first column stands.
        columns: the children on the way of the work, from top to bottom, then to the right.
        stack: the children at the right side: those that only a cancel or an error reaches; of the
            whole picture those where a run ends.
        beside: the child on whose right side the stack stands.
        exits: where arrows that begin in it, and end outside, leave it: side and height.
        entries: where arrows from outside to a destination in it enter it.
    """

    phase: str
    children: list[Box] = field(default_factory=list)
    columns: list[list[Box]] = field(default_factory=list)
    stack: list[Box] = field(default_factory=list)
    beside: Box | None = None
    x: float = 0
    y: float = 0
    width: float = 0
    height: float = 0
    axis: float = 0
    exits: dict[Bundle, tuple[Side, float]] = field(default_factory=dict)
    entries: dict[str, tuple[Side, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.phase.rpartition(".")[2]

    @property
    def right(self) -> float:
        """The right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The lower side."""
        return self.y + self.height

    def holds(self, phase: str) -> bool:
        """Whether `phase` is this one or inside of it."""
        return phase == self.phase or phase.startswith(self.phase + ".")

    def walk(self) -> Iterator[Box]:
        """This box and all inside of it, the outer first."""
        yield self
        for child in self.children:
            yield from child.walk()


def box_tree(topology: Topology, bundles: tuple[Bundle, ...]) -> Box:
    """The boxes of a chart, without places; the children stand as the rows first name them."""
    boxes = {WHOLE: Box(WHOLE)}
    for leaf in topology.leaves:
        around = WHOLE
        for path in (*enclosing(leaf)[::-1], leaf):
            if path not in boxes:
                boxes[path] = Box(path)
                boxes[around].children.append(boxes[path])
            around = path
    for box in boxes.values():
        if box.children:
            stacked = _stacked(box, topology, bundles)
            box.stack = [child for child in box.children if child.phase in stacked]
            box.columns = [[child for child in box.children if child.phase not in stacked]]
    return boxes[WHOLE]


def _stacked(box: Box, topology: Topology, bundles: tuple[Bundle, ...]) -> set[str]:
    leaves = {child.phase for child in box.children if not child.children}
    if box.phase == WHOLE:
        ends = {b.end for b in bundles if b.frame == WHOLE and b.start in topology.scopes}
        return leaves & ends - {topology.initial}
    return leaves - {b.destination for b in bundles if b.kind == "normal"}

"""The tree of nested boxes; each level has columns and, beside one of them, a stack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ..statechart.phase_paths import enclosing
from ..statechart.topology import Topology
from .edge_bundles import ROOT, Bundle
from .ways_out import ways_out

Side = Literal["left", "right"]


@dataclass(eq=False)
class Box:
    """A phase in the picture; lengths in px, positions relative to the parent box.

    Attributes:
        axis: distance from its left side to the centre line of its first column.
        columns: the children in normal order, from top to bottom, then to the right.
        stack: children on the right: those that only a cancel or an error reaches; in the root box
            those where a run ends.
        stack_host: the child that the stack is placed beside, on its right.
        exits: side and height where the edges of a bundle from inside to outside leave the box.
        way_out: for a leaf without a row of its own: how the innermost row around it leads out.
    """

    phase: str
    children: list[Box] = field(default_factory=list)
    columns: list[list[Box]] = field(default_factory=list)
    stack: list[Box] = field(default_factory=list)
    stack_host: Box | None = None
    x: float = 0
    y: float = 0
    width: float = 0
    height: float = 0
    axis: float = 0
    way_out: str = ""
    exits: dict[Bundle, tuple[Side, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.phase.rpartition(".")[2]

    @property
    def right(self) -> float:
        """The x of the right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of the lower side."""
        return self.y + self.height

    def holds(self, phase: str) -> bool:
        """Whether `phase` is this box's phase or inside it."""
        return phase == self.phase or phase.startswith(self.phase + ".")

    def walk(self) -> Iterator[Box]:
        """Yield this box and all boxes inside it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


def box_tree(topology: Topology, bundles: tuple[Bundle, ...]) -> Box:
    """Build the boxes of a chart, without positions; children in the order of the rows."""
    boxes = {ROOT: Box(ROOT)}
    for leaf in topology.leaves:
        parent = ROOT
        for path in (*enclosing(leaf)[::-1], leaf):
            if path not in boxes:
                boxes[path] = Box(path)
                boxes[parent].children.append(boxes[path])
            parent = path
    for leaf, trigger in ways_out(topology).items():
        boxes[leaf].way_out = f"→ {trigger}"
    for box in boxes.values():
        if box.children:
            stacked = _stack_phases(box, topology, bundles)
            box.stack = [child for child in box.children if child.phase in stacked]
            box.columns = [[child for child in box.children if child.phase not in stacked]]
    ends = _ends(topology, bundles)
    boxes[ROOT].stack.sort(key=lambda child: -ends.index(child.phase))  # arrows cross rarely
    return boxes[ROOT]


def _stack_phases(box: Box, topology: Topology, bundles: tuple[Bundle, ...]) -> set[str]:
    leaves = {child.phase for child in box.children if not child.children}
    if box.phase == ROOT:
        return leaves & {*_ends(topology, bundles)} - {topology.initial}
    return leaves - {b.destination for b in bundles if b.kind == "normal"}


def _ends(topology: Topology, bundles: tuple[Bundle, ...]) -> list[str]:
    """Where the scopes of the root box lead."""
    return [b.end for b in bundles if b.frame == ROOT and b.start in topology.scopes]

"""Sizes and positions of the boxes: heights from the inside out, widths from the outside in."""

from __future__ import annotations

from collections.abc import Iterable

from .box_tree import Box
from .edge_bundles import ROOT, Bundle
from .edge_routing import route_edges
from .edges import STACK_GUTTER, Edge
from .lanes import GAP, PAD, LaneLayout
from .port_positions import MARGIN, place_ports, stretch_boxes
from .text_metrics import LINE_HEIGHT, NAME_SIZE, NOTE_SIZE, text_width

HEADER = 36.0
LEAF_WIDTH = 76.0
"""Of a leaf whose texts need less, so that most of a column are as wide as each other."""
LEAF_HEIGHT = 34.0
STACK_GAP = 14.0
MAX_COLUMN_HEIGHT = 2400.0
"""A taller column is split into two, if each of them gets a composite."""


def lay_out(whole: Box, bundles: tuple[Bundle, ...]) -> dict[Box, LaneLayout]:
    """Set the size and position of every box; return the lane layout of each composite."""
    layouts: dict[Box, LaneLayout] = {}
    _measure(whole, bundles, layouts)
    layouts[whole].place(whole.axis, whole.width - whole.axis, layouts)
    return layouts


def _measure(box: Box, bundles: tuple[Bundle, ...], layouts: dict[Box, LaneLayout]) -> None:
    """Set the height and minimum width of a box, and the y positions inside it."""
    if not box.children:
        box.width = max(LEAF_WIDTH, *(width + 12 for width in leaf_texts(box)))
        box.height, box.axis = LEAF_HEIGHT, box.width / 2
        return
    for child in box.children:
        _measure(child, bundles, layouts)
    box.columns = _fold(box.columns[0])
    box.stack_host = _choose_stack_host(box, bundles) if box.stack else None
    edges = route_edges(box, bundles)
    stretch_boxes(edges)
    bottom = _place_rows(box, edges)
    place_ports(edges)
    _record_exits(box, edges)
    layouts[box] = LaneLayout(box, edges, bottom)


def leaf_texts(box: Box) -> tuple[float, float]:
    """Widths of the name and of the way out of a leaf."""
    way_out = text_width(box.way_out, NOTE_SIZE)
    return text_width(box.name, NAME_SIZE, bold=True), way_out


def _record_exits(box: Box, edges: list[Edge]) -> None:
    """Record where edges leave the box: they continue outside at the same height."""
    for edge in edges:
        if edge.route == "border" and edge.role == "exit":
            box.exits[edge.bundles[0]] = edge.ports[0].side, edge.ports[0].y


def _fold(column: list[Box]) -> list[list[Box]]:
    """Split a tall column into two of about the same height."""
    nested = [i for i, child in enumerate(column) if child.children]
    if len(nested) < 2 or sum(child.height + GAP for child in column) < MAX_COLUMN_HEIGHT:
        return [column]

    def height(cut: int) -> float:
        return max(sum(c.height + GAP for c in part) for part in (column[:cut], column[cut:]))

    cut = min(range(nested[0] + 1, nested[-1] + 1), key=height)
    return [column[:cut], column[cut:]]


def _choose_stack_host(box: Box, bundles: Iterable[Bundle]) -> Box:
    """Choose the child of the last column to put the stack beside: most edges, then most room.

    In the root box it is a leaf, if there is one, so that the picture is not wider than its widest
    composite and the lanes beside that.
    """
    leaves = [child for child in box.columns[-1] if not child.children]
    if box.phase == ROOT and leaves:
        return leaves[0]
    stacked = {child.phase for child in box.stack}
    sources = [b.start for b in bundles if b.frame == box.phase and b.end in stacked]
    return max(
        box.columns[-1],
        key=lambda child: (sources.count(child.phase), not child.children, -child.width),
    )


def _place_rows(box: Box, edges: list[Edge]) -> float:
    """Set the y positions of the children; return the bottom of the lowest one."""
    top = PAD if box.phase == ROOT else HEADER
    labels = {
        edge.boxes: LINE_HEIGHT * len(edge.label_lines) for edge in edges if edge.route == "down"
    }
    over = {
        edge.boxes[-1]: LINE_HEIGHT * len(edge.label_lines)
        for edge in edges
        if edge.route == "over"
    }
    lowest = top
    for column in box.columns:
        y = top + (max(GAP, over[column[0]] + 18) if column[0] in over else 0)
        for child, following in zip(column, [*column[1:], None], strict=True):
            child.y = y
            y = max(child.bottom, _place_stack(box, edges) if child is box.stack_host else y)
            lowest = max(lowest, y)
            if following is not None:
                y += max(GAP, labels.get((child, following), 0) + 16)
    return lowest


def _place_stack(box: Box, edges: list[Edge]) -> float:
    """Set the y positions of the stack: level with its host, or with the edges from there."""
    assert box.stack_host is not None
    preferred = dict(_preferred_stack_tops(box, edges))
    y = box.stack_host.y
    if any(
        edge.role != "own" and edge.ports[0].box is box.stack_host for edge in edges if edge.ports
    ):
        y = box.stack_host.bottom + 8 if not box.stack_host.children else y  # edges above the stack
    box.stack.sort(key=lambda child: preferred.get(child, y))
    for child in box.stack:
        child.y = max(y, preferred.get(child, y))
        y = child.bottom + STACK_GAP
    return y - STACK_GAP


def _preferred_stack_tops(box: Box, edges: list[Edge]) -> Iterable[tuple[Box, float]]:
    assert box.stack_host is not None
    for edge in edges:
        if edge.route == "trunk" and edge.boxes[-1] in box.stack:
            start, end = edge.ports[0], edge.ports[-1]
            if start.gutter == STACK_GUTTER and start.fixed_offset is not None:
                yield end.box, box.stack_host.y + start.fixed_offset - end.room_above - MARGIN

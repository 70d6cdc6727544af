"""Which sides of its boxes an edge touches: sides that face a gutter it can use."""

from __future__ import annotations

from .box_tree import Box, Side
from .edges import STACK_GUTTER, Edge, Port


def create_ports(box: Box, edge: Edge) -> tuple[Port, ...]:
    """Create the ports of an edge in `box`; none if it needs none, or if no gutter is usable."""
    boxes = range(len(edge.boxes))
    if edge.route == "over":
        return (_port(box, edge, 0, max(facing_gutters(box, edge.boxes[0]))),)
    if edge.route == "trunk":
        gutter = _trunk_gutter(box, edge)
        return tuple(_port(box, edge, i, gutter) for i in boxes)
    if edge.route == "around":
        return tuple(_port(box, edge, i, _outer_gutter(box, edge, i, (0,))) for i in boxes)
    return _border_ports(box, edge) if edge.route == "border" else ()


def facing_gutters(box: Box, child: Box) -> dict[int, Side]:
    """The gutters that a child of `box` faces, and the side of the child."""
    last = len(box.columns)
    if child in box.stack:
        return {STACK_GUTTER: "left", last: "right"}
    column = next(i for i, column in enumerate(box.columns) if child in column)
    return {column: "left", (STACK_GUTTER if child is box.stack_host else column + 1): "right"}


def shared_gutters(box: Box, edge: Edge) -> set[int]:
    """The gutters that all boxes of an edge may use."""
    gutters = set.intersection(
        *(set(_allowed_gutters(box, edge, i)) for i in range(len(edge.boxes)))
    )
    if all(child in box.stack for child in edge.boxes):
        gutters.discard(STACK_GUTTER)  # only for edges from and to the stack host
    return gutters


def _allowed_gutters(box: Box, edge: Edge, index: int) -> dict[int, Side]:
    """The gutters that one box of an edge may use: on the side where the edge continues inside."""
    faced = facing_gutters(box, edge.boxes[index])
    fixed = _fixed_position(edge, index)
    return {gutter: side for gutter, side in faced.items() if fixed is None or side == fixed[0]}


def _fixed_position(edge: Edge, index: int) -> tuple[Side, float] | None:
    if edge.role == "entry" or (edge.role == "own" and index == len(edge.boxes) - 1):
        return None  # a transition opens one scope: inside its border it is at its destination
    return edge.boxes[index].exits.get(edge.bundles[index])


def _port(box: Box, edge: Edge, index: int, gutter: int) -> Port:
    child = edge.boxes[index]
    side: Side = facing_gutters(box, child).get(gutter, "right")  # otherwise above the stack
    fixed = _fixed_position(edge, index)
    held = fixed[1] if fixed and fixed[0] == side else None
    return Port(child, side, gutter, held, exits_frame=edge.role == "exit")


def _trunk_gutter(box: Box, edge: Edge) -> int:
    """The stack gutter if possible; else the leftmost for backward edges, or the rightmost."""
    gutters = shared_gutters(box, edge)
    if STACK_GUTTER in gutters:
        return STACK_GUTTER
    order = [child for column in box.columns for child in column] + box.stack
    backward = order.index(edge.boxes[-1]) < order.index(edge.boxes[0])
    return min(gutters) if backward else max(gutters)


def _border_ports(box: Box, edge: Edge) -> tuple[Port, ...]:
    """Create the port of an edge to the nearest border, above the stack if that is in between."""
    last = len(box.columns)
    child = edge.boxes[0]
    to_the_right = edge.role == "exit" or edge.kind != "normal"
    gutter = _outer_gutter(box, edge, 0, (last, 0) if to_the_right else (0, last))
    if edge.role != "own" and child is box.stack_host and not child.children:
        gutter = last if to_the_right or gutter != 0 else 0
    if gutter in (0, last):
        return (_port(box, edge, 0, gutter),)
    if edge.role != "own":
        return ()
    edge.route = "around"  # from the lower border
    return (_port(box, edge, 0, gutter),)


def _outer_gutter(box: Box, edge: Edge, index: int, preferred: tuple[int, ...]) -> int:
    """A gutter that reaches the bottom of the frame, a preferred one if possible."""
    stack_in_column = box.stack_host is not None and not box.stack_host.children
    closed = {STACK_GUTTER} if stack_in_column else set()
    options = _allowed_gutters(box, edge, index).keys() - closed
    options = options or facing_gutters(box, edge.boxes[index]).keys() - closed
    return next((gutter for gutter in preferred if gutter in options), max(options))

"""Vertical positions of the ports: labels on one side never overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .box_tree import Box
from .edges import UNSET, Edge, Port

MARGIN = 3.0
ROUNDING = 1e-6


def stretch_boxes(edges: Sequence[Edge]) -> None:
    """Make each box tall enough for the ports on its sides."""
    for ports in _ports_by_side(edges):
        room = 2 * MARGIN + sum(port.room_above + port.room_below for port in ports)
        if len(ports) > 1:  # a gap beside a fixed port may be too small for another port
            held = sum(port.fixed_offset is not None for port in ports)
            room += held * max(port.room_above + port.room_below for port in ports)
        ports[0].box.height = max(ports[0].box.height, room)


def place_ports(edges: Sequence[Edge]) -> None:
    """Set the y of every port, close to where its edge is shortest."""
    for edge in edges:
        for port in edge.ports:
            port.y = UNSET if port.fixed_offset is None else port.box.y + port.fixed_offset
    sides = list(_ports_by_side(edges))
    neighbours = {port: ports for ports in sides for port in ports}
    for edge in filter(may_be_straight, edges):
        _align(edge.ports, neighbours)
    preferred = {port: _preferred_y(port, edge) for edge in edges for port in edge.ports}
    for ports in sides:
        _distribute(ports, preferred)


def may_be_straight(edge: Edge) -> bool:
    """Whether an edge may be one straight line across a gutter."""
    return (
        edge.route == "trunk" and len(edge.ports) == 2 and edge.ports[0].side != edge.ports[1].side
    )


def _ports_by_side(edges: Sequence[Edge]) -> Iterator[list[Port]]:
    sides: dict[tuple[Box, str], list[Port]] = {}
    for edge in edges:
        for port in edge.ports:
            sides.setdefault((port.box, port.side), []).append(port)
    yield from sides.values()


def _align(ports: tuple[Port, ...], neighbours: dict[Port, list[Port]]) -> None:
    """Put both ports at the same height, if all other ports still fit."""
    low = max(port.box.y + MARGIN + port.room_above for port in ports)
    high = min(port.box.bottom - MARGIN - port.room_below for port in ports)
    held = [port.y for port in ports if port.y != UNSET]
    smaller = min((port.box for port in ports), key=lambda box: box.height)
    y = held[0] if held else min(max(smaller.y + smaller.height / 2, low), high)
    if len(held) == 2 or not low - ROUNDING <= y <= high + ROUNDING:
        return
    free = [port for port in ports if port.y == UNSET]
    clear = all(_is_free(port, y, _taken_spans(neighbours[port])) for port in free)
    for port in free if clear else ():
        port.y = y
    if not all(_lowest_positions(neighbours[port]) is not None for port in free):
        for port in free:
            port.y = UNSET


def _taken_spans(ports: list[Port]) -> list[tuple[float, float]]:
    return [
        (port.y - port.room_above, port.y + port.room_below) for port in ports if port.y != UNSET
    ]


def _is_free(port: Port, y: float, taken: list[tuple[float, float]]) -> bool:
    top, bottom = y - port.room_above + ROUNDING, y + port.room_below - ROUNDING
    return all(bottom <= low or top >= high for low, high in taken)


def _lowest_positions(ports: list[Port]) -> dict[Port, float] | None:
    """The lowest y of each unset port with room for the ports below; None if they do not fit."""
    taken = _taken_spans(ports)
    lowest = {}
    floor = ports[0].box.bottom - MARGIN
    for port in reversed([port for port in ports if port.y == UNSET]):
        candidates = [floor - port.room_below, *(low - port.room_below for low, _ in taken)]
        fitting = [
            y for y in candidates if y <= floor - port.room_below and _is_free(port, y, taken)
        ]
        lowest[port] = max(fitting, default=UNSET)
        floor = lowest[port] - port.room_above
    return lowest if floor >= ports[0].box.y + MARGIN - ROUNDING else None


def _distribute(ports: list[Port], preferred: dict[Port, float]) -> None:
    """Set the ports of a side from top to bottom, each close to its preferred y."""
    ports = sorted(ports, key=lambda port: (port.exits_frame, preferred[port]))
    taken = _taken_spans(ports)
    lowest = _lowest_positions(ports)
    assert lowest is not None, "stretch_boxes made room for all"
    ceiling = ports[0].box.y + MARGIN
    for port in ports:
        if port.y == UNSET:
            low, high = ceiling + port.room_above, lowest[port]
            target = min(max(preferred[port], low), high)
            beside = (y for t, b in taken for y in (t - port.room_below, b + port.room_above))
            candidates = [target, high, low, *beside]
            fitting = [y for y in candidates if low <= y <= high and _is_free(port, y, taken)]
            port.y = min(fitting, key=lambda y: abs(y - target))
            ceiling = port.y + port.room_below


def _preferred_y(port: Port, edge: Edge) -> float:
    """The middle of a leaf; in a composite level with the other end, or near its top."""
    if not port.box.children:
        return port.box.y + (port.box.height + port.room_above - port.room_below) / 2
    if edge.route in ("around", "over"):
        return port.box.bottom - 20
    other = edge.ports[-1].box
    return port.box.y + 20 if port is edge.ports[-1] else other.y + other.height / 2

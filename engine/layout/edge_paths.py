"""The lines and labels of the edges in one box, after the layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .edges import Edge, Port
from .lanes import LABEL_DISTANCE, LaneLayout
from .text_metrics import LINE_HEIGHT

Point = tuple[float, float]
Polyline = tuple[Point, ...]


@dataclass(frozen=True)
class Text:
    """Lines of text; `y` is the baseline of the last one."""

    x: float
    y: float
    anchor: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class EdgePath:
    """The drawn lines and the label of an edge, in the coordinates of its box."""

    edge: Edge
    polylines: tuple[Polyline, ...]
    label: Text


def edge_paths(layout: LaneLayout) -> Iterator[EdgePath]:
    """Compute the path of each edge in a box."""
    for edge in layout.edges:
        polylines = _polylines(layout, edge)
        if edge.label_port is None:
            label = _label_at_line(edge, polylines[0])
        else:
            label = _label_at_port(edge, edge.label_port)
        yield EdgePath(edge, polylines, label)


def _label_at_port(edge: Edge, port: Port) -> Text:
    """Label above the line at a port."""
    if port.side == "right":
        x, anchor = port.x + LABEL_DISTANCE, "start"
    else:
        x, anchor = port.x - LABEL_DISTANCE, "end"
    return Text(x, port.y - 4, anchor, edge.label_lines)


def _label_at_line(edge: Edge, line: Polyline) -> Text:
    """Label to the right of the end of a line."""
    x, end = line[-1]
    middle = end - 6.5 - LINE_HEIGHT * len(edge.label_lines) / 2
    last = middle + LINE_HEIGHT * (len(edge.label_lines) - 1) / 2
    return Text(x + 7, last, "start", edge.label_lines)


def _polylines(layout: LaneLayout, edge: Edge) -> tuple[Polyline, ...]:
    match edge.route:
        case "down":
            return (_down(edge),)
        case "top":
            return (_top(layout, edge),)
        case "over":
            return (_over(layout, edge),)
        case "trunk":
            return tuple(_trunk(layout, edge, port) for port in edge.ports[:-1])
        case "around":
            return (_around(layout, edge),)
        case "border":
            return (_border(layout, edge),)


def _down(edge: Edge) -> Polyline:
    above, below = edge.boxes
    x = above.x + above.axis
    return (x, above.bottom), (x, below.y)


def _top(layout: LaneLayout, edge: Edge) -> Polyline:
    x = layout.box.axis
    return (x, 0), (x, edge.boxes[0].y)


def _over(layout: LaneLayout, edge: Edge) -> Polyline:
    port, below = edge.ports[0], edge.boxes[-1]
    lane, x = layout.lanes[edge, port.gutter], below.x + below.axis
    return (
        _point(port),
        (lane, port.y),
        (lane, layout.over_y),
        (x, layout.over_y),
        (x, below.y),
    )


def _trunk(layout: LaneLayout, edge: Edge, start: Port) -> Polyline:
    end = edge.ports[-1]
    lane = layout.lanes.get((edge, end.gutter))
    bends = () if lane is None else ((lane, start.y), (lane, end.y))
    return (_point(start), *bends, _point(end))


def _around(layout: LaneLayout, edge: Edge) -> Polyline:
    *starts, end = edge.ports
    lane = layout.lanes[edge, end.gutter]
    arriving = (lane, edge.detour_y), (lane, end.y), _point(end)
    if not starts:
        return arriving
    [start] = starts
    out = layout.lanes[edge, start.gutter]
    return (_point(start), (out, start.y), (out, edge.detour_y), *arriving)


def _border(layout: LaneLayout, edge: Edge) -> Polyline:
    port = edge.ports[0]
    line = ((layout.box.width if port.side == "right" else 0.0), port.y), _point(port)
    return line[::-1] if edge.role == "exit" else line


def _point(port: Port) -> Point:
    return port.x, port.y

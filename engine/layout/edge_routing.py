"""Which edges are drawn in a box, and the route of each."""

from __future__ import annotations

from collections.abc import Iterator

from .box_tree import Box
from .edge_bundles import Bundle, path_within
from .edges import Edge, Port, Route
from .port_sides import create_ports, shared_gutters
from .text_metrics import LINE_HEIGHT


def route_edges(box: Box, bundles: tuple[Bundle, ...]) -> list[Edge]:
    """Create the edges between the children of a box and the parts of edges across its border."""
    edges = [*_own_edges(box, bundles), *_exit_edges(box, bundles), *_entry_edges(box, bundles)]
    for edge in edges:
        edge.ports = create_ports(box, edge)
        if edge.role == "own":
            _prepare_label(edge)
    return [edge for edge in edges if edge.ports or edge.route in ("down", "top")]


def _own_edges(box: Box, bundles: tuple[Bundle, ...]) -> Iterator[Edge]:
    children = {child.phase: child for child in box.children}
    remaining = []
    connected = set()
    for bundle in bundles:
        if bundle.frame != box.phase:
            continue
        pair = bundle.start, bundle.end
        if bundle.start is None:
            yield Edge("border", (bundle,), (children[bundle.end],))
        elif (
            bundle.source == bundle.start
            and pair not in connected
            and (route := _direct_route(box, bundle))
        ):
            connected.add(pair)
            yield Edge(route, (bundle,), (children[bundle.start], children[bundle.end]))
        else:
            remaining.append(bundle)
    yield from _gutter_edges(box, remaining, children)


def _direct_route(box: Box, bundle: Bundle) -> Route | None:
    """`down` or `over` if the destination follows the source in the columns, else None."""
    order = [child.phase for column in box.columns for child in column]
    if bundle.start not in order or bundle.end not in order:
        return None
    if order.index(bundle.end) != order.index(bundle.start) + 1:
        return None
    return "over" if bundle.end in [column[0].phase for column in box.columns] else "down"


def _gutter_edges(box: Box, remaining: list[Bundle], children: dict[str, Box]) -> Iterator[Edge]:
    """Edges through gutters; bundles of the same rows share one edge if one gutter suits all."""
    groups: dict[tuple[object, ...], list[Bundle]] = {}
    for bundle in remaining:
        groups.setdefault((bundle.rows, bundle.end, bundle.destination), []).append(bundle)
    for group in groups.values():
        joined = _trunk_edge(group, children)
        parts = (
            [joined] if shared_gutters(box, joined) else [_trunk_edge([b], children) for b in group]
        )
        for edge in parts:
            if not shared_gutters(box, edge):
                edge.route = "around"
            yield edge


def _trunk_edge(bundles: list[Bundle], children: dict[str, Box]) -> Edge:
    ends = [bundle.start for bundle in bundles if bundle.start] + [bundles[0].end]
    return Edge("trunk", tuple(bundles), tuple(children[end] for end in ends))


def _exit_edges(box: Box, bundles: tuple[Bundle, ...]) -> Iterator[Edge]:
    for bundle in bundles:
        if bundle.start is None or box.phase == bundle.source:
            continue
        if box.phase in path_within(bundle.source, bundle.frame):
            child = next(child for child in box.children if child.holds(bundle.source))
            if child.phase == bundle.source or bundle in child.exits:
                yield Edge("border", (bundle,), (child,), "exit")


def _entry_edges(box: Box, bundles: tuple[Bundle, ...]) -> Iterator[Edge]:
    entering: dict[str, list[Bundle]] = {}
    for bundle in bundles:
        if box.phase in tuple(path_within(bundle.destination, bundle.frame))[:-1]:
            entering.setdefault(bundle.destination, []).append(bundle)
    for destination, group in entering.items():
        child = next(child for child in box.children if child.holds(destination))
        route: Route = "top" if child is box.columns[0][0] else "border"
        yield Edge(route, tuple(group), (child,), "entry")


def _prepare_label(edge: Edge) -> None:
    """Choose the port for the label, reserve room there, and name sources that no line reaches."""
    notes = [
        f"from {bundle.source.removeprefix(f'{bundle.start}.')}"
        for bundle, port in zip(edge.bundles, edge.ports, strict=False)
        if bundle.start not in (None, bundle.source) and port.fixed_offset is None
    ]
    edge.source_notes = tuple(dict.fromkeys(notes))
    if edge.ports and edge.route != "over":
        edge.label_port = _choose_label_port(edge)
        edge.label_port.room_above = 4 + LINE_HEIGHT * len(edge.label_lines)


def _choose_label_port(edge: Edge) -> Port:
    """The last port; the first if that is on a single leaf and the last is on a composite."""
    *starts, end = edge.ports
    if edge.route == "trunk" and len(starts) == 1 and end.box.children:
        return end if starts[0].box.children else starts[0]
    return end

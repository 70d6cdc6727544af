"""Which arrows are drawn in a box, and which way each goes."""

from __future__ import annotations

from collections.abc import Iterator

from .box_tree import Box
from .edge_bundles import Bundle, path_within
from .edges import Pin, Route, Wire
from .port_sides import common, pins
from .text_metrics import LINE


def connect(box: Box, bundles: tuple[Bundle, ...]) -> list[Wire]:
    """The arrows among the children of a box, and the parts of those that cross its border."""
    found = [*_own(box, bundles), *_exits(box, bundles), *_entries(box, bundles)]
    for wire in found:
        wire.pins = pins(box, wire)
        if wire.role == "own":
            _prepare_label(wire)
    return [wire for wire in found if wire.pins or wire.route in ("down", "top")]


def _own(box: Box, bundles: tuple[Bundle, ...]) -> Iterator[Wire]:
    children = {child.phase: child for child in box.children}
    waiting = []
    taken = set()
    for bundle in bundles:
        if bundle.frame != box.phase:
            continue
        pair = bundle.start, bundle.end
        if bundle.start is None:
            yield Wire("border", (bundle,), (children[bundle.end],))
        elif bundle.source == bundle.start and pair not in taken and (way := _next(box, bundle)):
            taken.add(pair)
            yield Wire(way, (bundle,), (children[bundle.start], children[bundle.end]))
        else:
            waiting.append(bundle)
    yield from _by_channel(box, waiting, children)


def _next(box: Box, bundle: Bundle) -> Route | None:
    """`down` or `over`, if the destination is the next one on the way of the work."""
    order = [child.phase for column in box.columns for child in column]
    if bundle.start not in order or bundle.end not in order:
        return None
    if order.index(bundle.end) != order.index(bundle.start) + 1:
        return None
    return "over" if bundle.end in [column[0].phase for column in box.columns] else "down"


def _by_channel(box: Box, waiting: list[Bundle], children: dict[str, Box]) -> Iterator[Wire]:
    """The others: those of the same rows to the same phase are joined if a channel faces all."""
    groups: dict[tuple[object, ...], list[Bundle]] = {}
    for bundle in waiting:
        groups.setdefault((bundle.rows, bundle.end, bundle.destination), []).append(bundle)
    for group in groups.values():
        joined = _trunk(group, children)
        parts = [joined] if common(box, joined) else [_trunk([b], children) for b in group]
        for wire in parts:
            if not common(box, wire):
                wire.route = "around"
            yield wire


def _trunk(bundles: list[Bundle], children: dict[str, Box]) -> Wire:
    ends = [bundle.start for bundle in bundles if bundle.start] + [bundles[0].end]
    return Wire("trunk", tuple(bundles), tuple(children[end] for end in ends))


def _exits(box: Box, bundles: tuple[Bundle, ...]) -> Iterator[Wire]:
    for bundle in bundles:
        if bundle.start is None or box.phase == bundle.source:
            continue
        if box.phase in path_within(bundle.source, bundle.frame):
            child = next(child for child in box.children if child.holds(bundle.source))
            if child.phase == bundle.source or bundle in child.exits:
                yield Wire("border", (bundle,), (child,), "exit")


def _entries(box: Box, bundles: tuple[Bundle, ...]) -> Iterator[Wire]:
    entering: dict[str, list[Bundle]] = {}
    for bundle in bundles:
        if box.phase in tuple(path_within(bundle.destination, bundle.frame))[:-1]:
            entering.setdefault(bundle.destination, []).append(bundle)
    for destination, group in entering.items():
        child = next(child for child in box.children if child.holds(destination))
        way: Route = "top" if child is box.columns[0][0] else "border"
        yield Wire(way, tuple(group), (child,), "entry")


def _prepare_label(wire: Wire) -> None:
    """Choose the pin that has it, make room there, and tell which ends have no line."""
    untold = [
        f"from {bundle.source.removeprefix(f'{bundle.start}.')}"
        for bundle, pin in zip(wire.bundles, wire.pins, strict=False)
        if bundle.start not in (None, bundle.source) and pin.fixed is None
    ]
    wire.ends = tuple(dict.fromkeys(untold))
    if wire.pins and wire.route != "over":
        wire.labelled = _roomiest(wire)
        wire.labelled.up = 4 + LINE * len(wire.lines)
        wire.labelled.down = 13


def _roomiest(wire: Wire) -> Pin:
    """The last pin, unless a single source is a leaf, which leaves more room, and it is not."""
    *starts, end = wire.pins
    if wire.route == "trunk" and len(starts) == 1 and end.box.children:
        return end if starts[0].box.children else starts[0]
    return end

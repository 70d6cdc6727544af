"""Which sides of its boxes an arrow touches: those that face a channel that it can take."""

from __future__ import annotations

from .box_tree import Box, Side
from .edges import BESIDE, Pin, Wire


def pins(box: Box, wire: Wire) -> tuple[Pin, ...]:
    """The pins of a wire in `box`; none where it needs none, or finds no way."""
    boxes = range(len(wire.boxes))
    if wire.route == "over":
        return (_pin(box, wire, 0, max(facing(box, wire.boxes[0]))),)
    if wire.route == "trunk":
        channel = _channel(box, wire)
        return tuple(_pin(box, wire, i, channel) for i in boxes)
    if wire.route == "around":
        return tuple(_pin(box, wire, i, _outer(box, wire, i, (0,))) for i in boxes)
    return _border_pins(box, wire) if wire.route == "border" else ()


def facing(box: Box, child: Box) -> dict[int, Side]:
    """The channels that a child of `box` faces, and with which side."""
    last = len(box.columns)
    if child in box.stack:
        return {BESIDE: "left", last: "right"}
    column = next(i for i, column in enumerate(box.columns) if child in column)
    return {column: "left", (BESIDE if child is box.beside else column + 1): "right"}


def common(box: Box, wire: Wire) -> set[int]:
    """The channels that all boxes of a wire face."""
    channels = set.intersection(*(set(_options(box, wire, i)) for i in range(len(wire.boxes))))
    if all(child in box.stack for child in wire.boxes):
        channels.discard(BESIDE)  # it is for arrows from and to the child beside the stack
    return channels


def _options(box: Box, wire: Wire, index: int) -> dict[int, Side]:
    """What one box of a wire faces; what is inside of it may have chosen the side."""
    faced = facing(box, wire.boxes[index])
    fixed = _fixed(wire, index)
    return {c: side for c, side in faced.items() if fixed is None or side == fixed[0]}


def _fixed(wire: Wire, index: int) -> tuple[Side, float] | None:
    if wire.role == "entry":
        return wire.boxes[0].entries.get(wire.bundles[0].destination)
    if index == len(wire.boxes) - 1 and wire.role == "own":
        return None
    return wire.boxes[index].exits.get(wire.bundles[index])


def _pin(box: Box, wire: Wire, index: int, channel: int) -> Pin:
    child = wire.boxes[index]
    side: Side = facing(box, child).get(channel, "right")  # above the stack, else
    fixed = _fixed(wire, index)
    held = fixed[1] if fixed and fixed[0] == side else None
    return Pin(child, side, channel, held, leaving=wire.role == "exit")


def _channel(box: Box, wire: Wire) -> int:
    """The channel for a trunk: beside the stack if it can be; backwards left, forwards right."""
    channels = common(box, wire)
    if BESIDE in channels:
        return BESIDE
    order = [child for column in box.columns for child in column] + box.stack
    back = order.index(wire.boxes[-1]) < order.index(wire.boxes[0])
    return min(channels) if back else max(channels)


def _border_pins(box: Box, wire: Wire) -> tuple[Pin, ...]:
    """Out to the nearest border; above the stack if that is in the way."""
    last = len(box.columns)
    child = wire.boxes[0]
    to_the_right = wire.role == "exit" or wire.kind != "normal"
    channel = _outer(box, wire, 0, (last, 0) if to_the_right else (0, last))
    if wire.role != "own" and child is box.beside and not child.children:
        channel = last if to_the_right or channel != 0 else 0
    if channel in (0, last):
        return (_pin(box, wire, 0, channel),)
    if wire.role != "own":
        return ()
    wire.route = "around"  # from the lower border
    return (_pin(box, wire, 0, channel),)


def _outer(box: Box, wire: Wire, index: int, preferred: tuple[int, ...]) -> int:
    """A channel that goes all the way down, one of the preferred if it can be."""
    stacked_within = box.beside is not None and not box.beside.children
    closed = {BESIDE} if stacked_within else set()
    options = _options(box, wire, index).keys() - closed
    options = options or facing(box, wire.boxes[index]).keys() - closed
    return next((channel for channel in preferred if channel in options), max(options))

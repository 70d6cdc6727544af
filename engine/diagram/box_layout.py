"""Where the boxes stand: heights from the inside out, then widths from the outside in."""

from __future__ import annotations

from collections.abc import Iterable

from .box_tree import Box
from .edge_bundles import WHOLE, Bundle
from .edge_routing import connect
from .edges import BESIDE, Wire
from .lanes import GAP, PAD, Channels
from .port_positions import MARGIN, set_heights, stretch
from .text_metrics import LINE, NAME_SIZE, NOTE_SIZE, text_width

NOTE = "1234567× · 12.3 ms"
HEADER = 36.0
LEAF_HEIGHT = 34.0
STACK_GAP = 14.0
TALL = 760.0
"""A column longer than this is folded into two, if it has boxes with boxes for both."""


def lay_out(whole: Box, bundles: tuple[Bundle, ...]) -> dict[Box, Channels]:
    """Give all boxes their sizes and places; the channels of those that have children."""
    channels: dict[Box, Channels] = {}
    _measure(whole, bundles, channels)
    channels[whole].place(whole.axis, whole.width - whole.axis, channels)
    return channels


def _measure(box: Box, bundles: tuple[Bundle, ...], channels: dict[Box, Channels]) -> None:
    """Set the height of a box, its least width, and the heights in it."""
    if not box.children:
        name = text_width(box.name, NAME_SIZE, bold=True)
        box.width = max(name, text_width(NOTE, NOTE_SIZE)) + 12
        box.height, box.axis = LEAF_HEIGHT, box.width / 2
        return
    for child in box.children:
        _measure(child, bundles, channels)
    box.columns = _folded(box.columns[0])
    box.beside = _beside(box, bundles) if box.stack else None
    wires = connect(box, bundles)
    stretch(wires)
    bottom = _set_rows(box, wires)
    set_heights(wires)
    _tell_crossings(box, wires)
    channels[box] = Channels(box, wires, bottom)


def _tell_crossings(box: Box, wires: list[Wire]) -> None:
    """Say where arrows cross the border, so that they go on there."""
    for wire in wires:
        if wire.route == "border" and wire.role == "exit":
            box.exits[wire.bundles[0]] = wire.pins[0].side, wire.pins[0].y
        elif wire.route == "border" and wire.role == "entry":
            box.entries[wire.bundles[0].destination] = wire.pins[0].side, wire.pins[0].y


def _folded(column: list[Box]) -> list[list[Box]]:
    """One column, or two of about the same height."""
    nested = [i for i, child in enumerate(column) if child.children]
    if len(nested) < 2 or sum(child.height + GAP for child in column) < TALL:
        return [column]

    def height(cut: int) -> float:
        return max(sum(c.height + GAP for c in part) for part in (column[:cut], column[cut:]))

    cut = min(range(nested[0] + 1, nested[-1] + 1), key=height)
    return [column[:cut], column[cut:]]


def _beside(box: Box, bundles: Iterable[Bundle]) -> Box:
    """The child of the last column on whose right side the stack stands: where there is room."""
    stacked = {child.phase for child in box.stack}
    into = [b.start for b in bundles if b.frame == box.phase and b.end in stacked]
    return max(
        box.columns[-1],
        key=lambda child: (into.count(child.phase), not child.children, -child.width),
    )


def _set_rows(box: Box, wires: list[Wire]) -> float:
    """Give the children their heights in the box; the lowest of all."""
    top = PAD if box.phase == WHOLE else HEADER
    labels = {wire.boxes: LINE * len(wire.lines) for wire in wires if wire.route == "down"}
    over = {wire.boxes[-1]: LINE * len(wire.lines) for wire in wires if wire.route == "over"}
    lowest = top
    for column in box.columns:
        y = top + (max(GAP, over[column[0]] + 18) if column[0] in over else 0)
        for child, following in zip(column, [*column[1:], None], strict=True):
            child.y = y
            y = max(child.bottom, _set_stack(box, wires) if child is box.beside else y)
            lowest = max(lowest, y)
            if following is not None:
                y += max(GAP, labels.get((child, following), 0) + 16)
    return lowest


def _set_stack(box: Box, wires: list[Wire]) -> float:
    """The stack begins beside its child, or at the heights of the arrows that come from there."""
    assert box.beside is not None
    wishes = dict(_stack_wishes(box, wires))
    y = box.beside.y
    if any(wire.role != "own" and wire.pins[0].box is box.beside for wire in wires if wire.pins):
        y = box.beside.bottom + 8 if not box.beside.children else y  # they pass above it
    box.stack.sort(key=lambda child: wishes.get(child, y))
    for child in box.stack:
        child.y = max(y, wishes.get(child, y))
        y = child.bottom + STACK_GAP
    return y - STACK_GAP


def _stack_wishes(box: Box, wires: list[Wire]) -> Iterable[tuple[Box, float]]:
    assert box.beside is not None
    for wire in wires:
        if wire.route == "trunk" and wire.boxes[-1] in box.stack:
            start, end = wire.pins[0], wire.pins[-1]
            if start.channel == BESIDE and start.fixed is not None:
                yield end.box, box.beside.y + start.fixed - end.up - MARGIN

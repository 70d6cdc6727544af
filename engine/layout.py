"""Where the boxes stand: from the inside out, each level in columns with channels between them."""

from __future__ import annotations

from collections.abc import Iterable

from .boxes import Box
from .channels import GAP, PAD, Channels, Stroke
from .lifting import WHOLE, Bundle
from .ports import set_heights, stretch
from .textwidth import text_width
from .wires import BESIDE, LINE, Wire, wires

NAME_SIZE = 12.0
NOTE_SIZE = 9.5
HEADER = 36.0
LEAF_HEIGHT = 34.0
TALL = 760.0
"""A column longer than this is folded into two, if it has boxes with boxes for both."""

NOTE = "1234567× · 12.3 ms"


def lay_out(box: Box, bundles: tuple[Bundle, ...], strokes: dict[Box, list[Stroke]]) -> None:
    """Give a box its size, and all inside of it their places."""
    if not box.children:
        name = text_width(box.name, NAME_SIZE, bold=True)
        box.width = max(name, text_width(NOTE, NOTE_SIZE)) + 12
        box.height, box.axis = LEAF_HEIGHT, box.width / 2
        return
    for child in box.children:
        lay_out(child, bundles, strokes)
    box.columns = _folded(box.columns[0])
    box.beside = _beside(box, bundles) if box.stack else None
    found = wires(box, bundles)
    stretch(found)
    bottom = _set_rows(box, found)
    set_heights(found)
    channels = Channels(box, found, bottom)
    strokes[box] = channels.draw()


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
    """The child of the last column on whose right side the stack stands."""
    stacked = {child.phase for child in box.stack}
    into = [b.start for b in bundles if b.frame == box.phase and b.end in stacked]
    crossing = {b.source for b in bundles if b.frame != box.phase and b.start is not None}
    column = box.columns[-1]
    return max(
        column,
        key=lambda child: (into.count(child.phase), child.phase not in crossing, -child.width),
    )


def _set_rows(box: Box, found: list[Wire]) -> float:
    """Give the children their heights in the box; the lowest of all."""
    top = PAD if box.phase == WHOLE else HEADER
    downward = {wire.boxes: wire for wire in found if wire.route == "down"}
    over = {wire.boxes[-1] for wire in found if wire.route == "over"}
    lowest = top
    for column in box.columns:
        y = top + (GAP if column[0] in over else 0)
        for child, following in zip(column, [*column[1:], None], strict=True):
            child.y = y
            y = child.bottom
            if child is box.beside:
                y = max(y, _set_stack(box, found))
            lowest = max(lowest, y)
            if following is not None:
                wire = downward.get((child, following))
                y += GAP if wire is None else max(GAP, LINE * len(wire.lines) + 16)
    return lowest


def _set_stack(box: Box, found: list[Wire]) -> float:
    """The stack begins beside its child, or at the heights of the arrows that come from there."""
    assert box.beside is not None
    wishes: dict[Box, float] = {}
    for wire in found:
        if wire.route == "trunk" and wire.pins[0].channel == BESIDE and wire.boxes[-1] in box.stack:
            fixed = wire.pins[0].fixed
            if fixed is not None:
                wishes[wire.boxes[-1]] = box.beside.y + fixed - wire.boxes[-1].height / 2
    y = box.beside.y
    for child in sorted(box.stack, key=lambda child: wishes.get(child, y)):
        child.y = max(y, wishes.get(child, y))
        y = child.bottom + 16
    return y - 16

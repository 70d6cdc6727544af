"""The layout for narrow frames: all boxes below each other, as wide as their texts need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..layout.box_tree import Box
from ..layout.text_metrics import LABEL_SIZE, NAME_SIZE, text_width
from .row_texts import RowText, RowTexts, in_order

PAD = 8.0
TEXT_X = 10.0
"""From the left side of a box to its texts."""
NAME_Y = 17.0
LINE_HEIGHT = 15.0
FOOT = 8.0
STEP_X = 20.0
STEP_HEIGHT = 26.0
GAP = 8.0


@dataclass(frozen=True)
class PlacedText:
    """A row beside an arrow down to `y`, or as a line of text; positions in px."""

    row: RowText
    x: float
    y: float


@dataclass(frozen=True)
class NarrowLayout:
    """The boxes, parents first, with the rows as arrows and as lines."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    steps: tuple[PlacedText, ...]
    lines: tuple[PlacedText, ...]


def lay_out_narrow(whole: Box, texts: RowTexts, least: float = 0) -> NarrowLayout:
    """Set the size and position of every box; positions are absolute, `least` is a width in px."""
    whole.width = max(least, _least_width(whole, texts))
    placed = list(_place(whole, 0, 0, texts))
    return NarrowLayout(
        whole.width,
        whole.height,
        tuple(whole.walk())[1:],
        tuple(step for steps, _ in placed for step in steps),
        tuple(line for _, lines in placed for line in lines),
    )


def _least_width(box: Box, texts: RowTexts) -> float:
    own = [text_width(row.text, LABEL_SIZE) for row in texts.lines.get(box.phase, ())]
    own += [text_width(box.name, NAME_SIZE, bold=True), text_width(box.way_out, LABEL_SIZE)]
    beside = [
        STEP_X + 8 + text_width(texts.steps[child.phase].text, LABEL_SIZE)
        for child in box.children
        if child.phase in texts.steps
    ]
    inner = [_least_width(child, texts) for child in box.children]
    return max(2 * TEXT_X + max(own), 2 * PAD + max([*inner, *beside], default=0))


Placed = tuple[list[PlacedText], list[PlacedText]]


def _place(box: Box, x: float, y: float, texts: RowTexts) -> Iterator[Placed]:
    """Place a box of known width and all that is in it; its height is what that needs."""
    box.x, box.y = x, y
    bottom = y + (NAME_Y if box.name else 0)
    steps = []
    for child in in_order(box) if box.children else ():
        bottom += GAP
        child.width = box.width - 2 * PAD
        yield from _place(child, x + PAD, bottom, texts)
        bottom = child.bottom
        if child.phase in texts.steps:
            bottom += STEP_HEIGHT - GAP
            steps.append(PlacedText(texts.steps[child.phase], child.x + STEP_X, bottom + GAP))
    lines = []
    bottom += 2 if box.children else 0
    bottom += LINE_HEIGHT if box.way_out else 0
    for row in texts.lines.get(box.phase, ()):
        bottom += LINE_HEIGHT
        lines.append(PlacedText(row, x + TEXT_X, bottom))
    box.height = bottom + FOOT - y
    yield steps, lines

"""The list below the picture: who hears which signal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .text_metrics import LABEL_SIZE, text_width

Heard = Mapping[str, Sequence[str]]
"""For each signal the names of those who hear it, in the order in which they run."""

SPACING = 15.0
COLUMN = 460.0
INDENT = 14.0
MARGIN = 14.0


@dataclass(frozen=True)
class Entry:
    """A line of the list: a signal, or some of those who hear the one above."""

    x: float
    y: float
    text: str
    is_signal: bool


@dataclass(frozen=True)
class Listing:
    """The list, and how much room it takes below the picture."""

    entries: tuple[Entry, ...] = ()
    height: float = 0


def listing(heard: Heard, width: float, top: float) -> Listing:
    """Who hears which signal, in as many columns as fit side by side, from `top` on."""
    if not heard:
        return Listing()
    columns = max(1, int(width // COLUMN))
    room = width / columns - 2 * MARGIN - INDENT
    blocks = [[name, *_lines(names, room)] for name, names in heard.items()]
    tallest = -(-sum(map(len, blocks)) // columns)
    entries: list[Entry] = []
    column = row = lowest = 0
    for block in blocks:
        if row and row + len(block) > tallest and column + 1 < columns:
            column, row = column + 1, 0
        x = MARGIN + column * width / columns
        for number, text in enumerate(block):
            shift = INDENT if number else 0
            entries.append(Entry(x + shift, top + SPACING * (row + 1), text, not number))
            row += 1
        lowest = max(lowest, row)
    return Listing(tuple(entries), SPACING * lowest + MARGIN)


def _lines(names: Iterable[str], room: float) -> Iterator[str]:
    """The names in lines that are no wider than `room`, where they can be."""
    line = ""
    for name in names:
        longer = f"{line}, {name}" if line else name
        if line and text_width(longer, LABEL_SIZE) > room:
            yield f"{line},"
            longer = name
        line = longer
    yield line

"""The list below the picture: the subscribers of each signal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..layout.text_metrics import LABEL_SIZE, text_width

Subscribers = Mapping[str, Sequence[str]]
"""For each signal the names of its receivers, in the order in which they run."""

SPACING = 15.0
COLUMN = 460.0
INDENT = 14.0
MARGIN = 14.0


@dataclass(frozen=True)
class Entry:
    """A line of the list: a signal, or some subscribers of the signal above."""

    x: float
    y: float
    text: str
    is_signal: bool


@dataclass(frozen=True)
class SubscriberList:
    """The lines of the list, and its height."""

    entries: tuple[Entry, ...] = ()
    height: float = 0


def list_subscribers(subscribers: Subscribers, width: float, top: float) -> SubscriberList:
    """Lay out the list in as many columns as fit into `width`; it starts at y = `top`."""
    if not subscribers:
        return SubscriberList()
    columns = max(1, int(width // COLUMN))
    width_limit = width / columns - 2 * MARGIN - INDENT
    blocks = [[name, *_lines(names, width_limit)] for name, names in subscribers.items()]
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
    return SubscriberList(tuple(entries), SPACING * lowest + MARGIN)


def longest_name(subscribers: Subscribers) -> float:
    """The width that the list needs for the longest name in it."""
    names = [name for names in subscribers.values() for name in names]
    widths = (text_width(f"{name},", LABEL_SIZE) for name in (*subscribers, *names))
    return max(widths, default=0) + 2 * MARGIN + INDENT


def _lines(names: Iterable[str], width_limit: float) -> Iterator[str]:
    """Wrap the names into lines of at most `width_limit`; a single name is never split."""
    line = ""
    for name in names:
        longer = f"{line}, {name}" if line else name
        if line and text_width(longer, LABEL_SIZE) > width_limit:
            yield f"{line},"
            longer = name
        line = longer
    yield line

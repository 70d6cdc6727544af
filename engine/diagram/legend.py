"""What colours and marks of the picture mean, in lines below it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..layout.edge_paths import Point
from ..layout.text_metrics import LABEL_SIZE, text_width

LEFT = 14.0
LINE_HEIGHT = 18.0
_SAMPLE = 26.0
_SPACE = 22.0

_MEANINGS = {
    "normal": "what a scope or a phase leads to",
    "cancel": "a cancel or a recovery",
    "error": "an error",
    "foot": "at the foot of a box: in all of it",
    "underlined": "a signal with subscribers",
    "vote": "the ranks vote",
}


@dataclass(frozen=True)
class LegendEntry:
    """A sample at `place`, of the style `kind`, and its meaning beside it."""

    kind: str
    text: str
    place: Point

    @property
    def has_sample(self) -> bool:
        """Whether a sample stands before the text; the text itself may be one."""
        return self.kind not in ("underlined", "foot")

    @property
    def text_place(self) -> Point:
        """Where its text begins."""
        return self.place[0] + (_SAMPLE + 6 if self.has_sample else 0), self.place[1]

    @property
    def right(self) -> float:
        """The x where its text ends, in the widest font."""
        return self.text_place[0] + text_width(self.text, LABEL_SIZE)


def legend(kinds: Collection[str], width: float, top: float) -> tuple[LegendEntry, ...]:
    """The entries of what the picture has, from left to right, in as many lines as that takes.

    Args:
        kinds: some of `normal`, `cancel`, `error`, `foot`, `underlined` and `vote`.
        width: that of the picture.
        top: the y of the upper side of the first line.
    """
    entries: list[LegendEntry] = []
    x, y = LEFT, top + LINE_HEIGHT - 4
    for kind, meaning in _MEANINGS.items():
        if kind in kinds:
            entry = LegendEntry(kind, meaning, (x, y))
            if x > LEFT and entry.right > width:
                entry = LegendEntry(kind, meaning, (LEFT, y := y + LINE_HEIGHT))
            entries.append(entry)
            x = entry.right + _SPACE
    return tuple(entries)


def legend_height(entries: Sequence[LegendEntry]) -> float:
    """The height of all lines, in px."""
    return LINE_HEIGHT * len({entry.place[1] for entry in entries}) + 10


def longest_entry(kinds: Collection[str]) -> float:
    """The width that the entries need in lines of their own."""
    alone = (LegendEntry(kind, _MEANINGS[kind], (LEFT, 0)).right for kind in kinds)
    return max(alone, default=0)

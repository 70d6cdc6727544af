"""What colours and marks of the picture mean, as a line below it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .edge_paths import Point
from .subscriber_list import Subscribers
from .text_metrics import LABEL_SIZE, text_width

HEIGHT = 28.0
_SAMPLE = 26.0
_SPACE = 22.0


@dataclass(frozen=True)
class LegendEntry:
    """A sample at `place`, of the style `kind`, and its meaning beside it."""

    kind: str
    """`normal`, `cancel`, `error`, `underlined` or `vote`."""
    text: str
    place: Point

    @property
    def text_place(self) -> Point:
        """Where its text begins."""
        return self.place[0] + (_SAMPLE + 6 if self.kind != "underlined" else 0), self.place[1]


def legend(
    kinds: Collection[str], subscribers: Subscribers, votes: Collection[str], top: float
) -> tuple[LegendEntry, ...]:
    """The entries of what the picture has, from left to right.

    Args:
        kinds: those of its arrows.
        top: the y of the line's upper side.
    """
    meanings = {
        "normal": "what a scope or a phase leads to",
        "cancel": "a cancel of the scope",
        "error": "an error",
    }
    found = [(kind, text) for kind, text in meanings.items() if kind in kinds]
    found += [("underlined", "a signal with subscribers")] if subscribers else []
    found += [("vote", "the ranks vote")] if votes else []
    entries, x = [], 14.0
    for kind, text in found:
        entries.append(LegendEntry(kind, text, (x, top + HEIGHT / 2)))
        x = entries[-1].text_place[0] + text_width(text, LABEL_SIZE) + _SPACE
    return tuple(entries)

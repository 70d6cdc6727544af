"""Each row as arrows between siblings: lifted to where the paths of its two ends part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..statechart.phase_paths import Kind, enclosing, inside, kind, sources
from ..statechart.topology import Topology

WHOLE = ""
"""The path of the whole picture, which is around every phase."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """Rows of one kind from one phase to another, seen in the innermost composite around both.

    Attributes:
        frame: that composite.
        start: its child in which the source is; None if the frame itself is the source.
        end: its child in which the destination is.
        rows: their numbers.
        triggers: the names on the arrow, each once.
    """

    frame: str
    start: str | None
    source: str
    end: str
    destination: str
    kind: Kind
    rows: tuple[int, ...] = ()
    triggers: tuple[str, ...] = ()

    def more(self, row: int, trigger: str) -> Bundle:
        """The same with one row more."""
        triggers = tuple(dict.fromkeys((*self.triggers, trigger)))
        return Bundle(*self.key, rows=(*self.rows, row), triggers=triggers)

    @property
    def key(self) -> tuple[str, str | None, str, str, str, Kind]:
        """What its rows have in common."""
        return self.frame, self.start, self.source, self.end, self.destination, self.kind


def lift(topology: Topology) -> tuple[Bundle, ...]:
    """All rows of a chart, in order, those between the same two phases together."""
    bundles: dict[object, Bundle] = {}
    for number, row in enumerate(topology.rows):
        for source in sources(row):
            empty = _between(source, row[2], kind(row))
            bundles[empty.key] = bundles.get(empty.key, empty).more(number, row[0])
    return tuple(bundles.values())


def path_within(phase: str, frame: str) -> Iterator[str]:
    """The composites around a phase, itself last, from the child of `frame` on."""
    chain = (*enclosing(phase)[::-1], phase)
    return (path for path in chain if frame == WHOLE or (inside(path, frame) and path != frame))


def child_towards(phase: str, frame: str) -> str:
    """The child of `frame` in which `phase` lies, or which it is."""
    return next(path_within(phase, frame))


def _between(source: str, destination: str, of_kind: Kind) -> Bundle:
    around = (*enclosing(destination), WHOLE)
    if source in around:
        return Bundle(
            source, None, source, child_towards(destination, source), destination, of_kind
        )
    frame = next(path for path in around if path == WHOLE or source.startswith(path + "."))
    start, end = child_towards(source, frame), child_towards(destination, frame)
    return Bundle(frame, start, source, end, destination, of_kind)

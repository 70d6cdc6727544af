"""Rows grouped into bundles: edges between two children of their lowest common ancestor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..statechart.phase_paths import Kind, enclosing, inside, kind, sources
from ..statechart.topology import Topology

ROOT = ""
"""The path of the root box, which contains every phase."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """Rows of one kind from one phase to another.

    Attributes:
        frame: the innermost composite that contains both phases.
        start: the child of `frame` that contains the source; None if the frame is the source.
        end: the child of `frame` that contains the destination.
        rows: their numbers in the topology.
        triggers: the names in the label, each once.
    """

    frame: str
    start: str | None
    source: str
    end: str
    destination: str
    kind: Kind
    rows: tuple[int, ...] = ()
    triggers: tuple[str, ...] = ()

    def with_row(self, row: int, trigger: str) -> Bundle:
        """Return a copy with one more row."""
        triggers = tuple(dict.fromkeys((*self.triggers, trigger)))
        return Bundle(*self.key, rows=(*self.rows, row), triggers=triggers)

    @property
    def key(self) -> tuple[str, str | None, str, str, str, Kind]:
        """The fields that all its rows share."""
        return self.frame, self.start, self.source, self.end, self.destination, self.kind


def bundle_rows(topology: Topology) -> tuple[Bundle, ...]:
    """Group the rows of a chart, in order, by source, destination and kind."""
    bundles: dict[object, Bundle] = {}
    for number, row in enumerate(topology.rows):
        for source in sources(row):
            empty = _empty_bundle(source, row[2], kind(row))
            bundles[empty.key] = bundles.get(empty.key, empty).with_row(number, row[0])
    return tuple(bundles.values())


def path_within(phase: str, frame: str) -> Iterator[str]:
    """Paths from the child of `frame` that contains `phase` down to `phase` itself."""
    chain = (*enclosing(phase)[::-1], phase)
    return (path for path in chain if frame == ROOT or (inside(path, frame) and path != frame))


def child_towards(phase: str, frame: str) -> str:
    """The child of `frame` that contains `phase` or equals it."""
    return next(path_within(phase, frame))


def _empty_bundle(source: str, destination: str, of_kind: Kind) -> Bundle:
    ancestors = (*enclosing(destination), ROOT)
    if source in ancestors:
        return Bundle(
            source, None, source, child_towards(destination, source), destination, of_kind
        )
    frame = next(path for path in ancestors if path == ROOT or source.startswith(path + "."))
    start, end = child_towards(source, frame), child_towards(destination, frame)
    return Bundle(frame, start, source, end, destination, of_kind)

"""The rows of a chart as a narrow picture shows them: arrows to the next box, or lines of text."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..layout.box_tree import Box
from ..statechart.phase_paths import Kind, enclosing, sources
from ..statechart.topology import Topology


@dataclass(frozen=True)
class RowText:
    """One row from one of its sources: its trigger, and where it leads unless an arrow shows it."""

    row: int
    kind: Kind
    text: str


@dataclass(frozen=True)
class RowTexts:
    """All rows of a chart.

    Attributes:
        steps: by phase, the row that leads on to the box below it.
        lines: by phase, the other rows that have it as a source.
    """

    steps: dict[str, RowText] = field(default_factory=dict)
    lines: dict[str, list[RowText]] = field(default_factory=dict)


def in_order(box: Box) -> list[Box]:
    """The children from top to bottom: those of normal order, then those that a cancel reaches."""
    column = [child for column in box.columns for child in column]
    return [*column, *(child for child in box.children if child not in column)]


def row_texts(topology: Topology, whole: Box) -> RowTexts:
    """Sort the rows into arrows and lines."""
    below = {
        upper.phase: lower
        for box in whole.walk()
        for upper, lower in zip(in_order(box), in_order(box)[1:], strict=False)
    }
    texts = RowTexts()
    for number, row in enumerate(topology.rows):
        trigger, _, destination = row
        for source in sources(row):
            text = f"{trigger} → {relative(destination, source)}"
            found = RowText(number, topology.kinds[number], text)
            lower = below.get(source)
            if found.kind == "normal" and lower and lower.holds(destination):
                step = RowText(number, "normal", trigger if _front(lower) == destination else text)
                if texts.steps.setdefault(source, step) is step:
                    continue
            texts.lines.setdefault(source, []).append(found)
    for lines in texts.lines.values():
        lines.sort(key=lambda line: line.kind != "normal")
    return texts


def relative(destination: str, source: str) -> str:
    """The path of a destination in the innermost phase around both, or in the source itself."""
    for scope in (source, *enclosing(source)):
        if destination.startswith(f"{scope}."):
            return destination.removeprefix(f"{scope}.")
    return destination


def _front(box: Box) -> str:
    """The phase where a box is entered from above: its first leaf."""
    return _front(in_order(box)[0]) if box.children else box.phase

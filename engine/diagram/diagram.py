"""A chart as a picture, or as text for other drawing tools."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...events import any_transition, signal
from ...events.bus.order import receiver_name
from ..statechart.topology import Topology
from .dot import dot
from .fitting_html import fitting_html, picture_width
from .mermaid import mermaid
from .narrow_svg import narrow_svg
from .subscriber_list import Subscribers
from .svg import svg


@dataclass(frozen=True)
class Diagram:
    """The picture of a chart, for a notebook, a file or a page.

    Args:
        topology: the chart to draw: all its phases and rows.
        subscribers: the names of the receivers of each signal.
        votes: the phases at which several ranks vote; they get a mark.
    """

    topology: Topology
    subscribers: Subscribers = field(default_factory=dict)
    votes: Collection[str] = ()

    @property
    def svg(self) -> str:
        """An SVG document, for light and dark pages. Cost: a few milliseconds."""
        return svg(self.topology, self.subscribers, self.votes)

    @property
    def narrow_svg(self) -> str:
        """The same as one column of some 310 pixels: arrows to the next phase, the rest as text."""
        return narrow_svg(self.topology, self.subscribers, self.votes)

    @property
    def mermaid(self) -> str:
        """The text of a Mermaid state diagram."""
        return mermaid(self.topology, self.votes)

    @property
    def dot(self) -> str:
        """The text of the graph in the DOT language of Graphviz."""
        return dot(self.topology, self.votes)

    def save(self, path: str | os.PathLike[str], *, narrow: bool = False) -> None:
        """Write a file; its suffix selects the format: `.svg`, `.mermaid`, `.mmd` or `.dot`.

        Args:
            narrow: the picture of one column (see `narrow_svg`); an `.svg` only.

        Raises:
            ValueError: another suffix; the message lists the supported ones.
        """
        text = FORMATS[check_suffix(path, narrow)](self)
        Path(path).write_text(self.narrow_svg if narrow else text, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return fitting_html(self.svg, self.narrow_svg, picture_width(self.svg))


FORMATS: Mapping[str, Callable[[Diagram], str]] = {
    ".svg": lambda diagram: diagram.svg,
    ".mermaid": lambda diagram: diagram.mermaid,
    ".mmd": lambda diagram: diagram.mermaid,
    ".dot": lambda diagram: diagram.dot,
}


def check_suffix(path: str | os.PathLike[str], narrow: bool = False) -> str:
    """Return the suffix of a path to draw to.

    Raises:
        ValueError: an unsupported suffix; the message lists the supported ones.
    """
    suffix = Path(path).suffix
    if suffix not in FORMATS or (narrow and suffix != ".svg"):
        what, allowed = ("a narrow picture", ".svg") if narrow else ("a chart", ", ".join(FORMATS))
        raise ValueError(
            f"cannot draw {what} to {path}: its suffix is {suffix!r}; allowed: {allowed}"
        )
    return suffix


def subscribers_of(sender: Any, topology: Topology) -> Subscribers:
    """The receivers of each signal that `sender` publishes while it runs a chart."""
    signals = {row[0]: signal(row[0]) for row in topology.rows}
    signals[any_transition.name] = any_transition
    names = {
        name: tuple(receiver_name(place.receiver) for place in published.arranged(sender))
        for name, published in signals.items()
    }
    return {name: receivers for name, receivers in names.items() if receivers}

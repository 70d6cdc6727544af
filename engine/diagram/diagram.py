"""A chart as a picture, or as text from which other tools make one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...events import any_transition, signal
from ...events.order import receiver_name
from ..statechart.topology import Topology
from .dot import dot
from .mermaid import mermaid
from .subscriber_list import Heard
from .svg import svg


@dataclass(frozen=True)
class Diagram:
    """The picture of a chart, for a notebook, a file or a page.

    Args:
        topology: what is drawn: all its phases and rows.
        heard: who hears which signal.
    """

    topology: Topology
    heard: Heard = field(default_factory=dict)

    @property
    def svg(self) -> str:
        """An SVG document, for light and dark surroundings. Cost: a few milliseconds."""
        return svg(self.topology, self.heard)

    @property
    def mermaid(self) -> str:
        """The text of a Mermaid state diagram."""
        return mermaid(self.topology)

    @property
    def dot(self) -> str:
        """Text in the DOT language of Graphviz."""
        return dot(self.topology)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file of the kind that its suffix names: `.svg`, `.mermaid`, `.mmd` or `.dot`.

        Raises:
            ValueError: it has another suffix; those that can be drawn are named.
        """
        text = KINDS[check_suffix(path)](self)
        Path(path).write_text(text, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg


KINDS: Mapping[str, Callable[[Diagram], str]] = {
    ".svg": lambda diagram: diagram.svg,
    ".mermaid": lambda diagram: diagram.mermaid,
    ".mmd": lambda diagram: diagram.mermaid,
    ".dot": lambda diagram: diagram.dot,
}


def check_suffix(path: str | os.PathLike[str]) -> str:
    """The suffix of a file to draw to.

    Raises:
        ValueError: nothing can be drawn to such a file; what can is named.
    """
    suffix = Path(path).suffix
    if suffix not in KINDS:
        raise ValueError(f"cannot draw to {path}; the name of a picture ends in {', '.join(KINDS)}")
    return suffix


def heard_from(sender: Any, topology: Topology) -> Heard:
    """Who hears the signals that `sender` sends while it goes through a chart."""
    signals = {row[0]: signal(row[0]) for row in topology.rows}
    signals[any_transition.name] = any_transition
    names = {
        name: tuple(receiver_name(place.receiver) for place in heard.arranged(sender))
        for name, heard in signals.items()
    }
    return {name: receivers for name, receivers in names.items() if receivers}

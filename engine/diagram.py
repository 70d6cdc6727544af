"""A chart as a picture, or as text from which other tools make one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..events import any_transition, signal
from ..events.order import receiver_name
from .svg import svg

if TYPE_CHECKING:
    from .topology import Topology

Heard = Mapping[str, tuple[str, ...]]
"""For each signal the names of those who hear it, in the order in which they run."""


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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file of the kind that its suffix names: `.svg`.

        Raises:
            ValueError: it has another suffix; those that can be drawn are named.
        """
        kinds = {".svg": lambda: self.svg}
        target = Path(path)
        if target.suffix not in kinds:
            raise ValueError(f"cannot draw to {path}; a picture is a file {', '.join(kinds)}")
        target.write_text(kinds[target.suffix](), encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg


def heard_from(sender: Any, topology: Topology) -> Heard:
    """Who hears the signals that `sender` sends while it goes through a chart."""
    signals = {row[0]: signal(row[0]) for row in topology.rows}
    signals[any_transition.name] = any_transition
    names = {
        name: tuple(receiver_name(place.receiver) for place in heard.arranged(sender))
        for name, heard in signals.items()
    }
    return {name: receivers for name, receivers in names.items() if receivers}

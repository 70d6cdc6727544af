"""Edges of one nesting level, before the layout: the boxes they join, and by which route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..statechart.phase_paths import Kind
from .box_tree import Box, Side
from .edge_bundles import Bundle
from .text_metrics import LABEL_SIZE, text_width

WRAP_WIDTH = 90.0
UNSET = -1.0

STACK_GUTTER = -1
"""The gutter between the stack and its host; the other gutters are numbered from the left."""

Route = Literal["down", "over", "trunk", "around", "border", "top"]
Role = Literal["own", "exit", "entry"]


@dataclass(eq=False)
class Port:
    """The point where an edge touches the side of a box.

    Attributes:
        gutter: the number of the gutter that the edge enters here.
        fixed_offset: distance from the top of the box, if the edge continues inside the box.
        room_above, room_below: room reserved for the label, and to the next port.
        exits_frame: whether the edge continues outside the frame; such ports are the lowest ones.
        y: vertical position in the frame.
    """

    box: Box
    side: Side
    gutter: int
    fixed_offset: float | None = None
    room_above: float = 5
    room_below: float = 5
    exits_frame: bool = False
    y: float = UNSET

    @property
    def x(self) -> float:
        """Horizontal position in the frame: that of the side."""
        return self.box.right if self.side == "right" else self.box.x


@dataclass(eq=False)
class Edge:
    """An edge; `boxes` are those of its sources and, last, that of its destination.

    Routes: `down` to the next box in the column; `over` the top of the next column; a `trunk` in
    one gutter that all its boxes face; `around` below all columns, from one gutter to another;
    straight to or from the `border` of the frame, or down from its `top`.

    Attributes:
        role: `own` in the frame of its bundles; `exit` or `entry` for the part of an outer edge
            inside this frame.
        source_notes: label lines that name sources inside the boxes, which no line reaches.
        label_port: the port with the label; None if the label is beside a vertical line.
        detour_y: the height at which an `around` edge crosses.
    """

    route: Route
    bundles: tuple[Bundle, ...]
    boxes: tuple[Box, ...]
    role: Role = "own"
    ports: tuple[Port, ...] = ()
    source_notes: tuple[str, ...] = ()
    label_port: Port | None = None
    detour_y: float = UNSET

    @property
    def kind(self) -> Kind:
        """Normal, cancel or error."""
        return self.bundles[0].kind

    @property
    def label_lines(self) -> tuple[str, ...]:
        """The lines of the label: the triggers, wrapped where the label is beside a box."""
        triggers = tuple(dict.fromkeys(t for bundle in self.bundles for t in bundle.triggers))
        if self.label_port is not None:
            triggers = tuple(line for trigger in triggers for line in wrap_trigger(trigger))
        return (*triggers, *self.source_notes)

    @property
    def label_width(self) -> float:
        """Width of the widest line."""
        return max(text_width(line, LABEL_SIZE) for line in self.label_lines)


def wrap_trigger(trigger: str) -> tuple[str, ...]:
    """Wrap a long trigger into two lines: `after_cancel_` above `batch`."""
    if text_width(trigger, LABEL_SIZE) <= WRAP_WIDTH:
        return (trigger,)
    first, _, last = trigger.rpartition("_")
    return (f"{first}_", last) if first and last else (trigger,)

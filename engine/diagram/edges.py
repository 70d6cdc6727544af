"""Arrows of one level of the picture before they have a place: what they join, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..statechart.phase_paths import Kind
from .box_tree import Box, Side
from .edge_bundles import Bundle
from .text_metrics import LABEL_SIZE, text_width

LONG = 90.0
COUNT = "1234567"
UNSET = -1.0

BESIDE = -1
"""The channel between the stack and the child that it stands beside; others count from the left."""

Route = Literal["down", "over", "trunk", "around", "border", "top"]
Role = Literal["own", "exit", "entry"]


@dataclass(eq=False)
class Pin:
    """Where an arrow touches the side of a box.

    Attributes:
        fixed: its distance from the top of the box, where what is inside decides.
        up, down: room needed above it, for a label, and below it, for a count.
        leaving: whether the arrow goes on outside of the frame; it stands below the others then.
        y: its height in the frame.
    """

    box: Box
    side: Side
    channel: int
    fixed: float | None = None
    up: float = 5
    down: float = 5
    leaving: bool = False
    y: float = UNSET

    @property
    def x(self) -> float:
        """Of the side, in the frame."""
        return self.box.right if self.side == "right" else self.box.x


@dataclass(eq=False)
class Wire:
    """An arrow, with a box for each source and, last, one for the destination.

    Routes: `down` to the next box in the column; `over` the top of the next column; by a `trunk` in
    a channel that all its boxes face; `around` below all columns from one channel to another;
    straight to or from the `border` of the frame, or its `top`.

    Attributes:
        role: whether it is drawn here, or is the part in here of one drawn further out.
        ends: names of phases inside the boxes, to which no line leads.
        labelled: the pin with the label; None if that stands beside a line downwards.
        floor: the height at which it goes around.
    """

    route: Route
    bundles: tuple[Bundle, ...]
    boxes: tuple[Box, ...]
    role: Role = "own"
    pins: tuple[Pin, ...] = ()
    ends: tuple[str, ...] = ()
    labelled: Pin | None = None
    floor: float = UNSET

    @property
    def kind(self) -> Kind:
        """Work, cancel or error."""
        return self.bundles[0].kind

    @property
    def lines(self) -> tuple[str, ...]:
        """The label: triggers, long ones in two lines where they stand beside a box."""
        triggers = tuple(dict.fromkeys(t for bundle in self.bundles for t in bundle.triggers))
        if self.labelled is not None:
            triggers = tuple(line for trigger in triggers for line in wrapped(trigger))
        return (*triggers, *self.ends)

    @property
    def label_width(self) -> float:
        """Room for the widest line, and for a count of seven digits."""
        return max(text_width(line, LABEL_SIZE) for line in (*self.lines, COUNT))


def wrapped(trigger: str) -> tuple[str, ...]:
    """A trigger in two lines if it is long: `after_cancel_` above `batch`."""
    if text_width(trigger, LABEL_SIZE) <= LONG:
        return (trigger,)
    first, _, last = trigger.rpartition("_")
    return (f"{first}_", last) if first and last else (trigger,)

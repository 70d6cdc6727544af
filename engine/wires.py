"""What is drawn between the boxes of one level: which way each arrow goes, and who is joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from .boxes import Box, Side
from .lifting import Bundle, path_within
from .textwidth import text_width

LABEL_SIZE = 10.0
LINE = 12.0
"""Height of a line of a label."""

Route = Literal["down", "over", "trunk", "around", "border", "top"]

BESIDE = -1
"""The channel between the stack and the child that it stands beside; others count from the left."""


UNSET = -1.0


@dataclass(eq=False)
class Pin:
    """Where an arrow touches the side of a box.

    Attributes:
        fixed: its distance from the top of the box, where what is inside decides.
        up, down: room needed above it, for a label, and below it, for a count.
        y: its height in the frame.
    """

    box: Box
    side: Side
    channel: int
    fixed: float | None = None
    up: float = 5
    down: float = 5
    y: float = UNSET


@dataclass(eq=False)
class Wire:
    """An arrow, with a box for each source and, last, one for the destination.

    Routes: `down` to the next box in the column; `over` the top of the next column; by a `trunk` in
    a channel that all its boxes face; `around` below all columns from one channel to another;
    straight to or from the `border` of the frame, or its `top`.

    Attributes:
        role: whether it is drawn here, or is the part in here of one drawn further out.
    """

    route: Route
    bundles: tuple[Bundle, ...]
    boxes: tuple[Box, ...]
    role: Literal["own", "exit", "entry"] = "own"
    pins: tuple[Pin, ...] = ()
    labelled: Pin | None = None
    lane: float = 0
    floor: float = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """The label: triggers, in several lines where they stand beside a box."""
        triggers = tuple(dict.fromkeys(t for bundle in self.bundles for t in bundle.triggers))
        if self.route == "down":
            return triggers
        return tuple(line for trigger in triggers for line in wrapped(trigger))

    @property
    def label_width(self) -> float:
        """Room for the widest line, and for a count of seven digits."""
        return max(text_width(line, LABEL_SIZE) for line in (*self.lines, "1234567"))


def wrapped(trigger: str) -> tuple[str, ...]:
    """A trigger in two lines if it is long: `after_cancel_` above `batch`."""
    if text_width(trigger, LABEL_SIZE) <= 90:
        return (trigger,)
    first, _, last = trigger.rpartition("_")
    return (f"{first}_", last) if first and last else (trigger,)


def wires(box: Box, bundles: Iterable[Bundle]) -> list[Wire]:
    """The arrows among the children of a box, and the parts of those that cross its border."""
    bundles = tuple(bundles)
    found = [*_own(box, bundles), *_exits(box, bundles), *_entries(box, bundles)]
    for wire in found:
        wire.pins = _pins(box, wire)
        if wire.role == "own" and wire.pins:
            wire.labelled = _roomiest(box, wire)
            wire.labelled.up = 4 + LINE * len(wire.lines)
            wire.labelled.down = 13
    return [wire for wire in found if wire.pins or wire.route in ("down", "top")]


def _own(box: Box, bundles: tuple[Bundle, ...]) -> Iterator[Wire]:
    children = {child.phase: child for child in box.children}
    waiting = []
    taken = set()
    for bundle in bundles:
        if bundle.frame != box.phase:
            continue
        pair = bundle.start, bundle.end
        if bundle.start is None:
            yield Wire("border", (bundle,), (children[bundle.end],))
        elif bundle.source == bundle.start and pair not in taken and (way := _next(box, bundle)):
            taken.add(pair)
            yield Wire(way, (bundle,), (children[bundle.start], children[bundle.end]))
        else:
            waiting.append(bundle)
    yield from _by_channel(box, waiting, children)


def _exits(box: Box, bundles: tuple[Bundle, ...]) -> Iterator[Wire]:
    for bundle in bundles:
        if bundle.start is None or box.phase == bundle.source:
            continue
        if box.phase in path_within(bundle.source, bundle.frame):
            child = next(c for c in box.children if c.holds(bundle.source))
            yield Wire("border", (bundle,), (child,), "exit")


def _entries(box: Box, bundles: tuple[Bundle, ...]) -> Iterator[Wire]:
    entering: dict[str, list[Bundle]] = {}
    for bundle in bundles:
        if box.phase in tuple(path_within(bundle.destination, bundle.frame))[:-1]:
            entering.setdefault(bundle.destination, []).append(bundle)
    for destination, group in entering.items():
        child = next(c for c in box.children if c.holds(destination))
        way: Route = "top" if child is box.columns[0][0] else "border"
        yield Wire(way, tuple(group), (child,), "entry")


def _next(box: Box, bundle: Bundle) -> Route | None:
    """`down` or `over`, if the destination is the next one on the way of the work."""
    order = [child.phase for column in box.columns for child in column]
    if bundle.start not in order or bundle.end not in order:
        return None
    if order.index(bundle.end) != order.index(bundle.start) + 1:
        return None
    return "over" if bundle.end in [column[0].phase for column in box.columns] else "down"


def _by_channel(box: Box, waiting: list[Bundle], children: dict[str, Box]) -> Iterator[Wire]:
    """The others: those of the same rows to the same phase are joined if a channel faces all."""
    groups: dict[tuple[object, ...], list[Bundle]] = {}
    for bundle in waiting:
        groups.setdefault((bundle.rows, bundle.end, bundle.destination), []).append(bundle)
    for group in groups.values():
        joined = _trunk(group, children)
        parts = [joined] if _common(box, joined) else [_trunk([b], children) for b in group]
        for wire in parts:
            if not _common(box, wire):
                wire.route = "around"
            yield wire


def _trunk(bundles: list[Bundle], children: dict[str, Box]) -> Wire:
    ends = [bundle.start for bundle in bundles if bundle.start] + [bundles[0].end]
    return Wire("trunk", tuple(bundles), tuple(children[end] for end in ends))


def facing(box: Box, child: Box) -> dict[int, Side]:
    """The channels that a child of `box` faces, and with which side."""
    last = len(box.columns)
    if child in box.stack:
        return {BESIDE: "left", last: "right"}
    column = next(i for i, column in enumerate(box.columns) if child in column)
    return {column: "left", (BESIDE if child is box.beside else column + 1): "right"}


def _options(box: Box, wire: Wire, index: int) -> dict[int, Side]:
    """The same for one box of a wire: what is inside of a source may have chosen the side."""
    child = wire.boxes[index]
    fixed = _fixed(wire, index)
    return {
        channel: side
        for channel, side in facing(box, child).items()
        if fixed is None or side == fixed[0]
    }


def _fixed(wire: Wire, index: int) -> tuple[Side, float] | None:
    if wire.role == "entry":
        return wire.boxes[0].entries.get(wire.bundles[0].destination)
    if index == len(wire.boxes) - 1 and wire.role == "own":
        return None
    return wire.boxes[index].exits.get(wire.bundles[index])


def _common(box: Box, wire: Wire) -> set[int]:
    return set.intersection(*(set(_options(box, wire, i)) for i in range(len(wire.boxes))))


def _pins(box: Box, wire: Wire) -> tuple[Pin, ...]:
    if wire.route == "over":
        source = wire.boxes[0]
        return (Pin(source, "right", max(facing(box, source))),)
    if wire.route == "trunk":
        channel = _channel(box, wire)
        return tuple(_pin(box, wire, i, channel) for i in range(len(wire.boxes)))
    if wire.route == "around":
        return tuple(
            _pin(box, wire, i, _outer(box, wire, i, prefer_right=False))
            for i in range(len(wire.boxes))
        )
    if wire.route == "border":
        return _border_pins(box, wire)
    return ()


def _border_pins(box: Box, wire: Wire) -> tuple[Pin, ...]:
    right = wire.role == "exit" or wire.bundles[0].kind != "normal"
    channel = _outer(box, wire, 0, prefer_right=right)
    if channel in (0, len(box.columns)):
        return (_pin(box, wire, 0, channel),)
    if wire.role != "own":
        return ()
    wire.route = "around"  # from the lower border
    return (_pin(box, wire, 0, channel),)


def _outer(box: Box, wire: Wire, index: int, prefer_right: bool) -> int:
    """A channel that goes all the way down, at the border if possible."""
    options = _options(box, wire, index).keys() - {BESIDE}
    if not options:
        options = facing(box, wire.boxes[index]).keys() - {BESIDE}
    last = len(box.columns)
    order = (last, 0) if prefer_right else (0, last)
    return next((channel for channel in order if channel in options), min(options))


def _pin(box: Box, wire: Wire, index: int, channel: int) -> Pin:
    side = facing(box, wire.boxes[index])[channel]
    fixed = _fixed(wire, index)
    held = fixed[1] if fixed is not None and fixed[0] == side else None
    return Pin(wire.boxes[index], side, channel, held)


def _channel(box: Box, wire: Wire) -> int:
    """The channel for a trunk: beside the stack if it can be; backwards left, forwards right."""
    common = _common(box, wire)
    if BESIDE in common and not all(child in box.stack for child in wire.boxes):
        return BESIDE
    order = [child for column in box.columns for child in column] + box.stack
    back = order.index(wire.boxes[-1]) < order.index(wire.boxes[0])
    return min(common) if back else max(common)


def _roomiest(box: Box, wire: Wire) -> Pin:
    """The pin that has a label: the last one, unless there is more room at a single source."""
    *starts, end = wire.pins
    single = wire.route == "trunk" and len(starts) == 1 and starts[0].fixed is None
    return starts[0] if single and starts[0].box.width < end.box.width else end

"""The lines and labels of the arrows of one box, whose places are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .edges import Pin, Wire
from .lanes import REACH, Channels
from .text_metrics import LINE

Point = tuple[float, float]
Line = tuple[Point, ...]


@dataclass(frozen=True)
class Text:
    """Lines of text: `y` is the baseline of the last one."""

    x: float
    y: float
    anchor: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stroke:
    """What is drawn of a wire, in the coordinates of its box."""

    wire: Wire
    lines: tuple[Line, ...]
    label: Text
    count: Text


def strokes(channels: Channels) -> Iterator[Stroke]:
    """What is drawn of each wire."""
    for wire in channels.wires:
        lines = _lines(channels, wire)
        label, count = _at_line(wire, lines[0]) if wire.labelled is None else _at_box(wire)
        yield Stroke(wire, lines, label, count)


def _at_box(wire: Wire) -> tuple[Text, Text]:
    """The label above a line beside a box, the count below it."""
    pin = wire.labelled
    assert pin is not None
    x, anchor = (pin.x + REACH, "start") if pin.side == "right" else (pin.x - REACH, "end")
    return Text(x, pin.y - 4, anchor, wire.lines), Text(x, pin.y + 11, anchor)


def _at_line(wire: Wire, line: Line) -> tuple[Text, Text]:
    """The label to the right of the end of a line that comes down, the count to its left."""
    (_, start), (x, end) = line[-2:]
    middle = max((start + end) / 2, end - 8 - LINE * len(wire.lines) / 2) + 1.5
    last = middle + LINE * (len(wire.lines) - 1) / 2
    return Text(x + 7, last, "start", wire.lines), Text(x - 7, middle, "end")


def _lines(channels: Channels, wire: Wire) -> tuple[Line, ...]:
    match wire.route:
        case "down":
            return (_down(wire),)
        case "top":
            return (_top(channels, wire),)
        case "over":
            return (_over(channels, wire),)
        case "trunk":
            return tuple(_trunk(channels, wire, pin) for pin in wire.pins[:-1])
        case "around":
            return (_around(channels, wire),)
        case "border":
            return (_border(channels, wire),)


def _down(wire: Wire) -> Line:
    above, below = wire.boxes
    x = above.x + above.axis
    return (x, above.bottom), (x, below.y)


def _top(channels: Channels, wire: Wire) -> Line:
    x = channels.box.axis
    return (x, 0), (x, wire.boxes[0].y)


def _over(channels: Channels, wire: Wire) -> Line:
    pin, below = wire.pins[0], wire.boxes[-1]
    lane, x = channels.lanes[wire, pin.channel], below.x + below.axis
    return (
        _edge(pin),
        (lane, pin.y),
        (lane, channels.over),
        (x, channels.over),
        (x, below.y),
    )


def _trunk(channels: Channels, wire: Wire, start: Pin) -> Line:
    end = wire.pins[-1]
    lane = channels.lanes.get((wire, end.channel))
    bends = () if lane is None else ((lane, start.y), (lane, end.y))
    return (_edge(start), *bends, _edge(end))


def _around(channels: Channels, wire: Wire) -> Line:
    *starts, end = wire.pins
    lane = channels.lanes[wire, end.channel]
    arriving = (lane, wire.floor), (lane, end.y), _edge(end)
    if not starts:
        return arriving
    out = channels.lanes[wire, starts[0].channel]
    return (_edge(starts[0]), (out, starts[0].y), (out, wire.floor), *arriving)


def _border(channels: Channels, wire: Wire) -> Line:
    pin = wire.pins[0]
    line = ((channels.box.width if pin.side == "right" else 0.0), pin.y), _edge(pin)
    return line[::-1] if wire.role == "exit" else line


def _edge(pin: Pin) -> Point:
    return pin.x, pin.y

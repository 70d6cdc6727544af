"""The channels between columns: lanes for trunks, room for labels, and with them the widths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .boxes import Box
from .lifting import WHOLE
from .textwidth import text_width
from .wires import BESIDE, LINE, Pin, Wire

PAD = 12.0
GAP = 30.0
LANE = 11.0
REACH = 12.0
"""Between the side of a box and a label beside it: the head of an arrow."""

Point = tuple[float, float]
Lines = tuple[tuple[Point, ...], ...]


@dataclass(frozen=True)
class Text:
    """Lines of text: `y` is the baseline of the last one."""

    x: float
    y: float
    anchor: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stroke:
    """What is drawn of a wire: lines in the coordinates of its box."""

    wire: Wire
    lines: Lines
    label: Text | None = None
    count: Text | None = None


class Channels:
    """The horizontal layout of one box, whose vertical layout is done."""

    def __init__(self, box: Box, wires: list[Wire], bottom: float) -> None:
        self.box = box
        self.wires = wires
        self.last = len(box.columns)
        self.lanes: dict[tuple[Wire, int], float] = {}
        self.floor = bottom
        self.numbers: dict[int, list[list[tuple[float, float]]]] = {}
        self.at: dict[tuple[Wire, int], int] = {}
        self._set_floors()
        self._set_lanes()
        self._set_columns()

    def _set_floors(self) -> None:
        for wire in self.wires:
            if wire.route == "around" and len(wire.pins) == 2:
                self.floor += LANE
                wire.floor = self.floor
        self.box.height = self.floor + PAD
        for wire in self.wires:
            if wire.route == "around" and len(wire.pins) == 1:
                wire.floor = self.box.height

    def _spans(self) -> Iterator[tuple[Wire, int, float, float]]:
        """Each trunk: its wire, its channel, its ends."""
        for wire in self.wires:
            ys = [pin.y for pin in wire.pins]
            if wire.route == "over":
                yield wire, wire.pins[0].channel, self._over(), ys[0]
            elif (wire.route == "trunk" and max(ys) - min(ys) > 0.01) or self._is_loop(wire):
                yield wire, wire.pins[0].channel, min(ys), max(ys)
            elif wire.route == "around":
                for pin in wire.pins:
                    yield wire, pin.channel, pin.y, wire.floor

    def _is_loop(self, wire: Wire) -> bool:
        return wire.route == "trunk" and wire.boxes[0] is wire.boxes[-1]

    def _over(self) -> float:
        return min(column[0].y for column in self.box.columns) - 8

    def _set_lanes(self) -> None:
        spans = sorted(self._spans(), key=lambda span: span[3] - span[2])
        for wire, channel, top, bottom in spans:
            lanes = self.numbers.setdefault(channel, [])
            free = (
                all(bottom + 6 <= low or top - 6 >= high for low, high in lane) for lane in lanes
            )
            number = next((number for number, is_free in enumerate(free) if is_free), len(lanes))
            if number == len(lanes):
                lanes.append([])
            lanes[number].append((top, bottom))
            self.at[wire, channel] = number

    def _lanes(self, channel: int) -> float:
        return LANE * len(self.numbers.get(channel, ()))

    def _set_columns(self) -> None:
        box = self.box
        start = {}
        x = self._left()
        for number, column in enumerate(box.columns):
            axis = x + max(self._extent(child, left=True) for child in column)
            for child in column:
                child.x = axis - child.axis
            edge = axis + max(self._extent(child, left=False) for child in column)
            if box.beside in column:
                start[BESIDE] = box.beside.right
                zone, width = self._middle(BESIDE, box.beside.right)
                self._set_lane_xs(BESIDE, box.beside.right + zone + LANE / 2)
                edge = max(edge, self._stand(box.beside.right + width, edge))
            if number + 1 < self.last:
                zone, width = self._middle(number + 1, edge)
                self._set_lane_xs(number + 1, edge + zone + LANE / 2)
                x = edge + width
        zone = self._zone(self.last, "right", edge)
        self._set_lane_xs(self.last, edge + zone + LANE / 2)
        title = 0 if box.phase == WHOLE else text_width(box.name, 12, bold=True) + 24
        box.width = max(edge + zone + self._lanes(self.last) + PAD, title)
        box.axis = box.columns[0][0].x + box.columns[0][0].axis

    def _stand(self, least: float, edge: float) -> float:
        """Put the stack as far to the right as its labels have room; its right side."""
        stack = self.box.stack
        labels = [
            wire.label_width + REACH + 4 - PAD
            for wire in self.wires
            if wire.labelled and wire.labelled.box in stack and wire.labelled.side == "right"
        ]
        width = max(child.width for child in stack)
        x = max(least, edge - width - max(labels, default=0))
        for child in stack:
            child.x = x
        return x + width

    def _left(self) -> float:
        """The width of the channel to the left of all columns."""
        column = self.box.columns[0]
        edge = -max(self._extent(child, left=True) for child in column)
        for child in column:
            child.x = -child.axis
        zone = self._zone(0, "left", edge)
        for (wire, channel), number in self.at.items():
            if channel == 0:
                self.lanes[wire, 0] = PAD + self._lanes(0) - LANE * (number + 0.5)
        title = 0 if self.box.phase == WHOLE else text_width(self.box.name, 12, bold=True) + 20
        return max(PAD + self._lanes(0) + zone, title + edge)

    def _set_lane_xs(self, channel: int, first: float) -> None:
        for (wire, at), number in self.at.items():
            if at == channel:
                self.lanes[wire, channel] = first + LANE * number

    def _middle(self, channel: int, edge: float) -> tuple[float, float]:
        """The room for labels at its left side, and its whole width."""
        left = self._zone(channel, "right", edge)
        return left, max(left + self._lanes(channel) + self._zone(channel, "left", None), 24)

    def _zone(self, channel: int, side: str, edge: float | None) -> float:
        """The room beyond `edge` that the labels at one side of boxes need."""
        room = 0.0
        for wire in self.wires:
            for pin in wire.pins:
                if pin.channel == channel and pin.side == side:
                    need = wire.label_width + REACH + 4 if pin is wire.labelled else 10
                    slack = 0.0 if edge is None else self._slack(pin, side, edge)
                    room = max(room, need - slack)
        return room

    def _slack(self, pin: Pin, side: str, edge: float) -> float:
        return edge - pin.box.right if side == "right" else pin.box.x - edge

    def _extent(self, child: Box, left: bool) -> float:
        """From the axis of a column to one side of a child, or of the label below it."""
        own = child.axis if left else child.width - child.axis
        for wire in self.wires:
            if wire.route == "down" and child in wire.boxes:
                own = max(own, 46 if left else wire.label_width + 8)
        return own

    def draw(self) -> list[Stroke]:
        """The lines and labels of all wires; says where those that cross the border do."""
        return [self._stroke(wire) for wire in self.wires]

    def _stroke(self, wire: Wire) -> Stroke:
        lines = self._lines(wire)
        if wire.role != "own":
            self._cross(wire)
            return Stroke(wire, lines)
        if wire.route == "down":
            (x, top), (_, bottom) = lines[0]
            middle = (top + bottom) / 2 - 2
            last = middle + 3.5 + LINE * (len(wire.lines) - 1) / 2
            label = Text(x + 7, last, "start", wire.lines)
            return Stroke(wire, lines, label, Text(x - 7, middle + 3.5, "end"))
        pin = wire.labelled
        assert pin is not None
        if pin.side == "right":
            x, anchor = pin.box.right + REACH, "start"
        else:
            x, anchor = pin.box.x - REACH, "end"
        label = Text(x, pin.y - 4, anchor, wire.lines)
        return Stroke(wire, lines, label, Text(x, pin.y + 11, anchor))

    def _lines(self, wire: Wire) -> Lines:
        ways = {
            "down": self._down_lines,
            "top": self._top_lines,
            "over": self._over_lines,
            "trunk": self._trunk_lines,
            "around": self._around_lines,
            "border": self._border_lines,
        }
        return ways[wire.route](wire)

    def _cross(self, wire: Wire) -> None:
        if wire.route != "border":
            return
        pin = wire.pins[0]
        if wire.role == "exit":
            self.box.exits[wire.bundles[0]] = pin.side, pin.y
        else:
            self.box.entries[wire.bundles[0].destination] = pin.side, pin.y

    def _down_lines(self, wire: Wire) -> Lines:
        above, below = wire.boxes
        x = above.x + above.axis
        return (((x, above.bottom), (x, below.y)),)

    def _top_lines(self, wire: Wire) -> Lines:
        child = wire.boxes[0]
        return (((self.box.axis, 0), (self.box.axis, child.y)),)

    def _over_lines(self, wire: Wire) -> Lines:
        pin, below = wire.pins[0], wire.boxes[-1]
        lane = self.lanes[wire, pin.channel]
        x, y = below.x + below.axis, self._over()
        return (((pin.box.right, pin.y), (lane, pin.y), (lane, y), (x, y), (x, below.y)),)

    def _trunk_lines(self, wire: Wire) -> Lines:
        end = wire.pins[-1]
        lane = self.lanes.get((wire, end.channel))
        ending = () if lane is None else ((lane, end.y),)
        return tuple(
            (_edge(pin), *(() if lane is None else ((lane, pin.y),)), *ending, _edge(end))
            for pin in wire.pins[:-1]
        )

    def _around_lines(self, wire: Wire) -> Lines:
        end = wire.pins[-1]
        lane = self.lanes[wire, end.channel]
        arriving = ((lane, wire.floor), (lane, end.y), _edge(end))
        if len(wire.pins) == 1:
            return (arriving,)
        start = wire.pins[0]
        out = self.lanes[wire, start.channel]
        return ((_edge(start), (out, start.y), (out, wire.floor), *arriving),)

    def _border_lines(self, wire: Wire) -> Lines:
        pin = wire.pins[0]
        border = (self.box.width if pin.side == "right" else 0.0, pin.y)
        line = (border, _edge(pin))
        return (line[::-1],) if wire.role == "exit" else (line,)


def _edge(pin: Pin) -> Point:
    return (pin.box.right if pin.side == "right" else pin.box.x), pin.y

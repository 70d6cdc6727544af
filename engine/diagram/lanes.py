"""The channels between columns: lanes for trunks, room for labels, and with them the widths."""

from __future__ import annotations

from collections.abc import Iterator

from .box_tree import Box, Side
from .edges import BESIDE, COUNT, Pin, Wire
from .port_positions import may_be_straight
from .text_metrics import LABEL_SIZE, NAME_SIZE, text_width

PAD = 12.0
GAP = 30.0
LANE = 11.0
REACH = 12.0
"""Between the side of a box and a label beside it: the head of an arrow."""


class Channels:
    """The widths of one box, whose heights are known, and of what is in it.

    Attributes:
        lanes: for each trunk, by wire and channel, its distance from the left side of the box.
        over: the height at which an arrow goes over the top of the next column.
    """

    def __init__(self, box: Box, wires: list[Wire], bottom: float) -> None:
        self.box = box
        self.wires = wires
        self.lanes: dict[tuple[Wire, int], float] = {}
        self.over = min(column[0].y for column in box.columns) - 8
        self._last = len(box.columns)
        self._nested = box.beside is not None and not box.beside.children
        self._set_floors(bottom)
        self._numbers, self._counts = self._numbered()
        self._set_width()

    def place(self, left: float, right: float, inner: dict[Box, Channels]) -> None:
        """Put everything in its place, with so much to the left and to the right of the axis."""
        box = self.box
        more = left - box.axis, right - (box.width - box.axis)
        box.axis, box.width = left, left + right
        edge = 0.0
        for number, column in enumerate(box.columns):
            wide_left, wide_right = self._extents(column)
            wide_left += more[0] if number == 0 else 0
            wide_right += more[1] if number == self._last - 1 else 0
            self._place_lanes(number, edge)
            axis = edge + self._width(number) + wide_left
            edge = axis + wide_right
            for child in column:
                if child.children:  # as wide as its column
                    inner[child].place(wide_left, wide_right, inner)
                child.x = axis - child.axis
        self._place_lanes(self._last, self._place_stack(edge))

    def _place_stack(self, edge: float) -> float:
        """Beside a leaf it is within the column, at its right side; else to the right of it."""
        box = self.box
        if box.beside is None:
            return edge
        width = self._stack_width()
        x = edge - self._stack_room() - width if self._nested else edge + self._width(BESIDE)
        for child in box.stack:
            child.x = x
        self._place_lanes(BESIDE, box.beside.right)
        return edge if self._nested else x + width

    def _place_lanes(self, channel: int, edge: float) -> None:
        for (wire, at), number in self._numbers.items():
            if at == channel == 0:
                self.lanes[wire, at] = PAD + LANE * (self._counts[0] - number - 0.5)
            elif at == channel:
                room = self._zone(channel, "right")
                self.lanes[wire, at] = edge + room + LANE * (number + 0.5)

    def _set_floors(self, floor: float) -> None:
        """Where arrows go around: in lanes below everything, or from the lower border."""
        around = [wire for wire in self.wires if wire.route == "around"]
        for wire in around:
            if len(wire.pins) > 1:
                floor += LANE
                wire.floor = floor
        self.box.height = floor + PAD
        for wire in around:
            if len(wire.pins) == 1:
                wire.floor = self.box.height

    def _trunks(self) -> Iterator[tuple[Wire, int, float, float]]:
        """Each trunk: its wire, its channel, its upper and its lower end."""
        for wire in self.wires:
            heights = [pin.y for pin in wire.pins]
            if wire.route == "over":
                yield wire, wire.pins[0].channel, self.over, heights[0]
            elif wire.route == "around":
                for pin in wire.pins:
                    yield wire, pin.channel, pin.y, wire.floor
            elif wire.route == "trunk" and not (may_be_straight(wire) and len({*heights}) == 1):
                yield wire, wire.pins[0].channel, min(heights), max(heights)

    def _numbered(self) -> tuple[dict[tuple[Wire, int], int], dict[int, int]]:
        """For each trunk the number of its lane, the shortest nearest; how many a channel has."""
        numbers: dict[tuple[Wire, int], int] = {}
        taken: dict[int, list[list[tuple[float, float]]]] = {}
        for wire, channel, top, bottom in sorted(self._trunks(), key=lambda t: t[3] - t[2]):
            lanes = taken.setdefault(channel, [])
            free = (all(bottom + 6 <= t or top - 6 >= b for t, b in lane) for lane in lanes)
            number = next((i for i, is_free in enumerate(free) if is_free), len(lanes))
            if number == len(lanes):
                lanes.append([])
            lanes[number].append((top, bottom))
            numbers[wire, channel] = number
        return numbers, {channel: len(lanes) for channel, lanes in taken.items()}

    def _set_width(self) -> None:
        """The least that it can have."""
        box = self.box
        extents = [self._extents(column) for column in box.columns]
        box.axis = self._width(0) + extents[0][0]
        box.width = sum(map(sum, extents)) + sum(map(self._width, range(self._last + 1)))
        if box.stack and not self._nested:
            box.width += self._width(BESIDE) + self._stack_width()

    def _width(self, channel: int) -> float:
        lanes = LANE * self._counts.get(channel, 0)
        left, right = self._zone(channel, "right"), self._zone(channel, "left")
        if channel == 0:
            title = text_width(self.box.name, NAME_SIZE, bold=True) + 20 if self.box.name else 0
            return max(PAD + lanes + right, title - self._extents(self.box.columns[0])[0])
        if channel == self._last:
            return left + lanes + PAD
        return max(left + lanes + right, 2 * PAD)

    def _zone(self, channel: int, side: Side) -> float:
        """The room that the arrows at one side of boxes need for their heads and labels."""
        pins = [
            (pin, _room(wire) if pin is wire.labelled else REACH + 2)
            for wire in self.wires
            for pin in wire.pins
            if pin.channel == channel and pin.side == side
        ]
        return max((0.0, *(need - self._slack(pin) for pin, need in pins)))

    def _slack(self, pin: Pin) -> float:
        """The room that there is already between a box and the channel that it faces."""
        if pin.box in self.box.stack:
            within = self._nested and pin.side == "right"
            return self._stack_width() - pin.box.width + (self._stack_room() if within else 0)
        if pin.box.children or pin.channel == BESIDE:
            return 0.0
        left, right = self._extents(next(c for c in self.box.columns if pin.box in c))
        return left - pin.box.axis if pin.side == "left" else right - pin.box.axis

    def _extents(self, column: list[Box]) -> tuple[float, float]:
        """From the axis of a column to its left and its right side, with labels and the stack."""
        left = max(child.axis for child in column)
        right = max(child.width - child.axis for child in column)
        for wire in self.wires:
            if wire.role == "own" and wire.labelled is None and wire.boxes[-1] in column:
                left = max(left, text_width(COUNT, LABEL_SIZE) + 9)
                right = max(right, wire.label_width + 9)
        if self._nested and self.box.beside in column:
            room = self._width(BESIDE) + self._stack_width() + self._stack_room()
            right = max(right, self.box.beside.width / 2 + room)
        return left, right

    def _stack_width(self) -> float:
        return max(child.width for child in self.box.stack)

    def _stack_room(self) -> float:
        """The room for labels to the right of the stack."""
        needs = [
            _room(wire) - (self._stack_width() - wire.labelled.box.width)
            for wire in self.wires
            if wire.labelled
            and wire.labelled.side == "right"
            and wire.labelled.box in self.box.stack
        ]
        return max(needs, default=0.0)


def _room(wire: Wire) -> float:
    """From the side of a box to the end of the label that stands beside it, and a little more."""
    return REACH + wire.label_width + 4

"""The gutters between columns: lanes for edges, room for labels, and the resulting widths."""

from __future__ import annotations

from collections.abc import Iterator

from .box_tree import Box, Side
from .edges import STACK_GUTTER, Edge, Port
from .port_positions import may_be_straight
from .text_metrics import NAME_SIZE, text_width

PAD = 12.0
GAP = 30.0
LANE_WIDTH = 10.0
LABEL_DISTANCE = 12.0
"""From the side of a box to a label beside it: room for an arrow head."""


class LaneLayout:
    """The horizontal layout of one composite, after its vertical layout.

    Attributes:
        lanes: the x of each vertical segment, by edge and gutter, from the left side of the box.
        over_y: the height at which an edge passes over the top of the next column.
    """

    def __init__(self, box: Box, edges: list[Edge], bottom: float) -> None:
        self.box = box
        self.edges = edges
        self.lanes: dict[tuple[Edge, int], float] = {}
        self.over_y = min(column[0].y for column in box.columns) - 8
        self._last = len(box.columns)
        self._stack_in_column = box.stack_host is not None and not box.stack_host.children
        self._set_detours(bottom)
        self._lane_numbers, self._lane_counts = self._assign_lanes()
        self._set_width()

    def place(self, left: float, right: float, inner: dict[Box, LaneLayout]) -> None:
        """Set all x positions; `left` and `right` are the widths on both sides of the axis."""
        box = self.box
        extra_left, extra_right = left - box.axis, right - (box.width - box.axis)
        box.axis, box.width = left, left + right
        boundary = 0.0
        for number, column in enumerate(box.columns):
            left_extent, right_extent = self._extents(column)
            left_extent += extra_left if number == 0 else 0
            right_extent += extra_right if number == self._last - 1 else 0
            self._place_lanes(number, boundary)
            axis = boundary + self._gutter_width(number) + left_extent
            boundary = axis + right_extent
            for child in column:
                if child.children:  # a composite is as wide as its column
                    inner[child].place(left_extent, right_extent, inner)
                child.x = axis - child.axis
        self._place_lanes(self._last, self._place_stack(boundary))

    def _place_stack(self, boundary: float) -> float:
        """Set the x of the stack: in the column if its host is a leaf, else to the right of it."""
        box = self.box
        if box.stack_host is None:
            return boundary
        width = self._stack_width()
        if self._stack_in_column:
            x = boundary - self._stack_room() - width
        else:
            x = boundary + self._gutter_width(STACK_GUTTER)
        for child in box.stack:
            child.x = x
        self._place_lanes(STACK_GUTTER, box.stack_host.right)
        return boundary if self._stack_in_column else x + width

    def _place_lanes(self, gutter: int, boundary: float) -> None:
        for (edge, in_gutter), number in self._lane_numbers.items():
            if in_gutter == gutter == 0:
                self.lanes[edge, gutter] = PAD + LANE_WIDTH * (self._lane_counts[0] - number - 0.5)
            elif in_gutter == gutter:
                room = self._label_room(gutter, "right")
                self.lanes[edge, gutter] = boundary + room + LANE_WIDTH * (number + 0.5)

    def _set_detours(self, floor: float) -> None:
        """Set the heights of `around` edges: in lanes below all boxes, or at the lower border."""
        around = [edge for edge in self.edges if edge.route == "around"]
        for edge in around:
            if len(edge.ports) > 1:
                floor += LANE_WIDTH
                edge.detour_y = floor
        self.box.height = floor + PAD
        for edge in around:
            if len(edge.ports) == 1:
                edge.detour_y = self.box.height

    def _vertical_segments(self) -> Iterator[tuple[Edge, int, float, float]]:
        """Yield each vertical segment: edge, gutter, upper and lower end."""
        for edge in self.edges:
            heights = [port.y for port in edge.ports]
            if edge.route == "over":
                yield edge, edge.ports[0].gutter, self.over_y, heights[0]
            elif edge.route == "around":
                for port in edge.ports:
                    yield edge, port.gutter, port.y, edge.detour_y
            elif edge.route == "trunk" and not (may_be_straight(edge) and len({*heights}) == 1):
                yield edge, edge.ports[0].gutter, min(heights), max(heights)

    def _assign_lanes(self) -> tuple[dict[tuple[Edge, int], int], dict[int, int]]:
        """Assign a lane number to each segment, short ones nearest; also return lanes by gutter."""
        numbers: dict[tuple[Edge, int], int] = {}
        taken: dict[int, list[list[tuple[float, float]]]] = {}
        for edge, gutter, top, bottom in sorted(
            self._vertical_segments(), key=lambda t: t[3] - t[2]
        ):
            lanes = taken.setdefault(gutter, [])
            free = (all(bottom + 6 <= t or top - 6 >= b for t, b in lane) for lane in lanes)
            number = next((i for i, is_free in enumerate(free) if is_free), len(lanes))
            if number == len(lanes):
                lanes.append([])
            lanes[number].append((top, bottom))
            numbers[edge, gutter] = number
        return numbers, {gutter: len(lanes) for gutter, lanes in taken.items()}

    def _set_width(self) -> None:
        """Set the minimum width of the box."""
        box = self.box
        extents = [self._extents(column) for column in box.columns]
        box.axis = self._gutter_width(0) + extents[0][0]
        box.width = sum(map(sum, extents)) + sum(map(self._gutter_width, range(self._last + 1)))
        if box.stack and not self._stack_in_column:
            box.width += self._gutter_width(STACK_GUTTER) + self._stack_width()

    def _gutter_width(self, gutter: int) -> float:
        lanes = LANE_WIDTH * self._lane_counts.get(gutter, 0)
        left, right = self._label_room(gutter, "right"), self._label_room(gutter, "left")
        if gutter == 0:
            title = text_width(self.box.name, NAME_SIZE, bold=True) + 20 if self.box.name else 0
            return max(PAD + lanes + right, title - self._extents(self.box.columns[0])[0])
        if gutter == self._last:
            return left + lanes + PAD
        return max(left + lanes + right, 2 * PAD)

    def _label_room(self, gutter: int, side: Side) -> float:
        """Width that the edges at one side of the boxes need for arrow heads and labels."""
        ports = [
            (port, _room_beside(edge) if port is edge.label_port else LABEL_DISTANCE + 2)
            for edge in self.edges
            for port in edge.ports
            if port.gutter == gutter and port.side == side
        ]
        return max((0.0, *(need - self._slack(port) for port, need in ports)))

    def _slack(self, port: Port) -> float:
        """Width that is already free between a box and the gutter that it faces."""
        if port.box in self.box.stack:
            if port.side == "left":
                return 0.0
            room = self._stack_room() if self._stack_in_column else 0
            return self._stack_width() - port.box.width + room
        if port.box.children or port.gutter == STACK_GUTTER:
            return 0.0
        left, right = self._extents(next(c for c in self.box.columns if port.box in c))
        return left - port.box.axis if port.side == "left" else right - port.box.axis

    def _extents(self, column: list[Box]) -> tuple[float, float]:
        """Widths of a column to the left and right of its axis, with labels and the stack."""
        left = max(child.axis for child in column)
        right = max(child.width - child.axis for child in column)
        for edge in self.edges:
            if edge.role == "own" and edge.label_port is None and edge.boxes[-1] in column:
                right = max(right, edge.label_width + 9)
        if self._stack_in_column and self.box.stack_host in column:
            room = self._gutter_width(STACK_GUTTER) + self._stack_width() + self._stack_room()
            right = max(right, self.box.stack_host.width / 2 + room)
        return left, right

    def _stack_width(self) -> float:
        return max(child.width for child in self.box.stack)

    def _stack_room(self) -> float:
        """Width for the labels to the right of the stack."""
        needs = [
            _room_beside(edge) - (self._stack_width() - edge.label_port.box.width)
            for edge in self.edges
            if edge.label_port
            and edge.label_port.side == "right"
            and edge.label_port.box in self.box.stack
        ]
        return max(needs, default=0.0)


def _room_beside(edge: Edge) -> float:
    """Width that the label beside a box needs, from the side of the box."""
    return LABEL_DISTANCE + edge.label_width + 4

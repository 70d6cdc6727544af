"""Positions of boxes, arrows and texts, parsed from the SVG of a chart."""

import re
from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree

from trackside.engine.layout.text_metrics import (
    LABEL_SIZE,
    LINE_HEIGHT,
    NAME_SIZE,
    NOTE_SIZE,
    text_width,
)

SVG = "{http://www.w3.org/2000/svg}"
SIZES = {
    "name": (NAME_SIZE, True),
    "exit": (NOTE_SIZE, False),
    "label": (LABEL_SIZE, False),
    "meaning": (LABEL_SIZE, False),
    "signal": (LABEL_SIZE, True),
    "subscribers": (LABEL_SIZE, False),
}


class Rect(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other, by=0.5):
        """Whether the two share more than a border."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width > by and height > by

    def contains(self, other, within=0):
        return (
            self.left - within <= other.left
            and self.top - within <= other.top
            and other.right <= self.right + within
            and other.bottom <= self.bottom + within
        )

    def has_on_border(self, point, within=0.3):
        x, y = point
        across = self.left - within <= x <= self.right + within
        along = self.top - within <= y <= self.bottom + within
        beside = min(abs(x - self.left), abs(x - self.right)) <= within
        above = min(abs(y - self.top), abs(y - self.bottom)) <= within
        return across and along and (beside or above)


class Arrow(NamedTuple):
    kind: str
    rows: tuple
    lines: list
    label: Rect
    words: str

    @property
    def segments(self):
        return [
            Rect(*map(min, a, b), *map(max, a, b)) for line in self.lines for a, b in pairwise(line)
        ]


class Picture:
    """The boxes, arrows and texts of an SVG."""

    def __init__(self, svg):
        self.root = ElementTree.fromstring(svg)
        self.whole = Rect(*map(float, self.root.get("viewBox").split()))
        groups = list(self.root.iter(f"{SVG}g"))
        self.phases = [g for g in groups if g.get("data-phase") is not None]
        self.boxes = {g.get("data-phase"): box_rect(g.find(f"{SVG}rect")) for g in self.phases}
        self.leaves = [g.get("data-phase") for g in self.phases if "leaf" in g.get("class").split()]
        self.arrows = [_arrow(g) for g in groups if g.get("data-rows") is not None]
        self.texts = {
            (g.get("data-phase"), role): text
            for g in self.phases
            for role, text in _texts(g).items()
        }


def box_rect(element):
    x, y, width, height = (float(element.get(name)) for name in ("x", "y", "width", "height"))
    return Rect(x, y, x + width, y + height)


def _arrow(group):
    texts = _texts(group)
    line = group.find(f"{SVG}path[@class='line']").get("d")
    return Arrow(
        group.get("class").split()[1],
        tuple(map(int, group.get("data-rows").split())),
        [_points(part) for part in re.findall(r"M[^M]+", line)],
        texts["label"],
        " ".join(group.find(f"{SVG}text[@class='label']").itertext()),
    )


def _points(part):
    """The corners of a line; round corners count as sharp ones."""
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", part)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _texts(group):
    """By role."""
    texts = {text.get("class"): text for text in group.iter(f"{SVG}text")}
    return {role: text_rect(text) for role, text in texts.items() if role in SIZES}


def text_rect(element):
    """The largest box that a text may need in any font."""
    role = element.get("class")
    size, bold = SIZES[role]
    lines = ["".join(span.itertext()) for span in element.findall(f"{SVG}tspan")]
    lines = lines or [element.text]
    width = max(text_width(line, size, bold) for line in lines)
    anchor = element.get("text-anchor", "start")
    x = float(element.get("x")) - {"start": 0, "middle": width / 2, "end": width}[anchor]
    baseline = float(element.get("y"))
    top = baseline - 0.75 * size - LINE_HEIGHT * (len(lines) - 1)
    return Rect(x, top, x + width, baseline + 0.22 * size)

"""Path data of lines and arrow heads."""

from __future__ import annotations

import math

from ..layout.edge_paths import Point, Polyline

RADIUS = 6.0
DIAMOND = "l5 5l-5 5l-5 -5Z"


def path(line: Polyline) -> str:
    """SVG path data of a line with round corners."""
    parts = [f"M{point(line[0])}"]
    for before, corner, after in zip(line, line[1:], line[2:], strict=False):
        parts += [
            f"L{point(_towards(corner, before))}",
            f"Q{point(corner)} {point(_towards(corner, after))}",
        ]
    return "".join([*parts, f"L{point(line[-1])}"])


def _towards(start: Point, end: Point) -> Point:
    length = math.dist(start, end)
    share = min(RADIUS, length / 2) / length if length else 0
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def head(before: Point, tip: Point) -> str:
    """The triangle at the end of a line from `before` to `tip`."""
    angle = math.atan2(tip[1] - before[1], tip[0] - before[0])
    back = [
        (tip[0] - 8 * math.cos(angle + turn), tip[1] - 8 * math.sin(angle + turn))
        for turn in (0.42, -0.42)
    ]
    return f"M{point(tip)}L{point(back[0])}L{point(back[1])}Z"


def point(at: Point) -> str:
    """Its coordinates."""
    return f"{number(at[0])} {number(at[1])}"


def number(value: float) -> str:
    """At most one decimal."""
    return f"{value:.1f}".removesuffix(".0")

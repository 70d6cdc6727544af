"""The picture as SVG, for light and dark pages, without fonts and scripts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from html import escape

from ..statechart.phase_paths import sources
from ..statechart.topology import Topology
from .box_tree import Box
from .edge_paths import Point, Polyline, Text
from .legend import HEIGHT, LegendEntry, legend
from .scene import Arrow, build_scene
from .subscriber_list import Entry, Subscribers, list_subscribers
from .svg_style import STYLE
from .text_metrics import LINE_HEIGHT, NOTE_SIZE, text_width
from .ways_out import ways_out

RADIUS = 6.0
_DIAMOND = "l5 5l-5 5l-5 -5Z"
NO_SUBSCRIBERS: Subscribers = {}


def svg(
    topology: Topology,
    subscribers: Subscribers = NO_SUBSCRIBERS,
    votes: Collection[str] = (),
) -> str:
    """The chart as an SVG document, with the list of subscribers below, if there are any."""
    scene = build_scene(topology)
    entries = legend({arrow.kind for arrow in scene.arrows}, subscribers, votes, scene.height)
    exits = ways_out(topology)
    below = list_subscribers(subscribers, scene.width, scene.height + HEIGHT)
    width, height = math.ceil(scene.width), math.ceil(scene.height + HEIGHT + below.height)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="trackside-chart" '
            f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="group" aria-label="The chart of a run">',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{width}" height="{height}"/>',
            *(_phase(box, box.phase in votes, exits.get(box.phase)) for box in scene.boxes),
            *(_arrow(arrow, topology, subscribers) for arrow in scene.arrows),
            *map(_legend_entry, entries),
            *(_entry(entry) for entry in below.entries),
            "</svg>\n",
        ]
    )


def _phase(box: Box, votes: bool, leaves_by: str | None) -> str:
    shape = f'x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" height="{_n(box.height)}"'
    kind = "composite" if box.children else "leaf"
    phase, name = _safe(box.phase), _safe(box.name)
    title, mark = (f"{phase}: the ranks vote here", _vote(box)) if votes else (phase, "")
    opening = (
        f'<g class="phase {kind}" data-phase="{phase}"><title>{title}</title><rect {shape} rx="6"/>'
    )
    if box.children:
        place = f'x="{_n(box.x + 10)}" y="{_n(box.y + 17)}"'
        return f'{opening}<text class="name" {place}>{name}</text></g>'
    x, y = _n(box.x + box.width / 2), box.y + box.height / 2
    way_out = _way_out(box, leaves_by)
    return (
        f'{opening}<text class="name" x="{x}" y="{_n(y - 2 if way_out else y + 4)}" '
        f'text-anchor="middle">{name}</text>'
        f'<text class="note" x="{x}" y="{_n(y + 11)}" text-anchor="middle"></text>'
        f"{way_out}{mark}</g>"
    )


def _way_out(box: Box, trigger: str | None) -> str:
    text = f"→ {trigger}"
    if trigger is None or text_width(text, NOTE_SIZE) > box.width:
        return ""
    x, y = _n(box.x + box.width / 2), _n(box.y + box.height / 2 + 12)
    return f'<text class="exit" x="{x}" y="{y}" text-anchor="middle">{_safe(text)}</text>'


def _vote(box: Box) -> str:
    """A diamond on the upper left corner of a box."""
    shape = f"M{_p((box.x, box.y - 5))}{_DIAMOND}"
    return f'<path class="vote" style="fill:var(--frame)" d="{shape}"/>'


def _arrow(arrow: Arrow, topology: Topology, subscribers: Subscribers) -> str:
    rows = " ".join(map(str, arrow.rows))
    subscribed = " subscribed" if any(trigger in subscribers for trigger in arrow.triggers) else ""
    path = "".join(map(_path, arrow.lines))
    heads = "".join(_head(*tip) for tip in arrow.tips)
    return (
        f'<g class="arrow {arrow.kind}{subscribed}" data-rows="{rows}">'
        f"<title>{_safe_lines(_tooltip(arrow, topology, subscribers))}</title>"
        f'<path class="line" d="{path}"/><path class="head" d="{heads}"/>'
        f"{_text('label', arrow.label)}{_text('count', arrow.count)}</g>"
    )


def _tooltip(arrow: Arrow, topology: Topology, subscribers: Subscribers) -> Iterator[str]:
    for number in arrow.rows:
        trigger, _, destination = row = topology.rows[number]
        yield f"{trigger}: {', '.join(sources(row))} → {destination}"
    for trigger in arrow.triggers:
        if trigger in subscribers:
            yield f"subscribers of {trigger}: {', '.join(subscribers[trigger])}"


def _entry(entry: Entry) -> str:
    role = "signal" if entry.is_signal else "subscribers"
    return f'<text class="{role}" x="{_n(entry.x)}" y="{_n(entry.y)}">{_safe(entry.text)}</text>'


def _legend_entry(entry: LegendEntry) -> str:
    (x, y), (text_x, _) = entry.place, entry.text_place
    text = f'<text class="meaning" x="{_n(text_x)}" y="{_n(y + 4)}">{entry.text}</text>'
    if entry.kind == "vote":
        shape = f"M{_p((x + 13, y - 5))}{_DIAMOND}"
        sample = f'<path class="head" style="color:var(--frame)" d="{shape}"/>'
    elif entry.kind == "underlined":
        sample = ""
    else:
        line = (x, y), (x + 26, y)
        head = _head(*line)
        sample = f'<path class="line" d="{_path(line)}"/><path class="head" d="{head}"/>'
    return f'<g class="legend {entry.kind}">{sample}{text}</g>'


def _text(role: str, text: Text) -> str:
    start = f'<text class="{role}" x="{_n(text.x)}" y="{_n(text.y)}" text-anchor="{text.anchor}">'
    if len(text.lines) < 2:
        return f"{start}{_safe(''.join(text.lines))}</text>"
    steps = [-LINE_HEIGHT * (len(text.lines) - 1), *(LINE_HEIGHT for _ in text.lines[1:])]
    spans = (
        f'<tspan x="{_n(text.x)}" dy="{_n(step)}">{_safe(line)}</tspan>'
        for step, line in zip(steps, text.lines, strict=True)
    )
    return f"{start}{''.join(spans)}</text>"


def _path(line: Polyline) -> str:
    """SVG path data of a line with round corners."""
    parts = [f"M{_p(line[0])}"]
    for before, corner, after in zip(line, line[1:], line[2:], strict=False):
        parts += [
            f"L{_p(_towards(corner, before))}",
            f"Q{_p(corner)} {_p(_towards(corner, after))}",
        ]
    return "".join([*parts, f"L{_p(line[-1])}"])


def _towards(start: Point, end: Point) -> Point:
    length = math.dist(start, end)
    share = min(RADIUS, length / 2) / length if length else 0
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _head(before: Point, tip: Point) -> str:
    angle = math.atan2(tip[1] - before[1], tip[0] - before[0])
    back = [
        (tip[0] - 8 * math.cos(angle + turn), tip[1] - 8 * math.sin(angle + turn))
        for turn in (0.42, -0.42)
    ]
    return f"M{_p(tip)}L{_p(back[0])}L{_p(back[1])}Z"


def _p(point: Point) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _safe(text: str) -> str:
    return escape("".join(letter if letter.isprintable() else "\ufffd" for letter in text))


def _safe_lines(lines: Iterable[str]) -> str:
    return "\n".join(map(_safe, lines))

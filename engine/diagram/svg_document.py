"""The parts of the picture that its wide and its narrow layout share."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from html import escape

from ..layout.box_tree import Box
from ..statechart.phase_paths import sources
from ..statechart.topology import Topology
from .legend import LegendEntry, legend, legend_height
from .subscriber_list import Entry, Subscribers, list_subscribers
from .svg_paths import DIAMOND, head, number, path, point
from .svg_style import STYLE


def document(
    parts: Iterable[str],
    width: float,
    height: float,
    kinds: Collection[str],
    subscribers: Subscribers,
) -> str:
    """An SVG document: the parts, of a width and height in px, a legend and the subscribers.

    Args:
        kinds: what the legend explains (see `legend`).
    """
    entries = legend(kinds, width, height)
    below = list_subscribers(subscribers, width, height + legend_height(entries))
    width, height = math.ceil(width), math.ceil(height + legend_height(entries) + below.height)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="trackside-chart" '
            f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="group" aria-label="The chart of a run">',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{width}" height="{height}"/>',
            *parts,
            *map(_legend_entry, entries),
            *(_subscribers(entry) for entry in below.entries),
            "</svg>\n",
        ]
    )


def kinds_shown(
    kinds: Collection[str], subscribers: Subscribers, votes: Collection[str]
) -> list[str]:
    """What the legend of a picture explains, given the kinds of its rows."""
    return [*kinds, *(["underlined"] if subscribers else []), *(["vote"] if votes else [])]


def phase(box: Box, texts: str, votes: bool) -> str:
    """The box of a phase with its texts, marked if the ranks vote there."""
    shape = (
        f'x="{number(box.x)}" y="{number(box.y)}" '
        f'width="{number(box.width)}" height="{number(box.height)}"'
    )
    kind = "composite" if box.children else "leaf"
    title, mark = (": the ranks vote here", _vote(box)) if votes else ("", "")
    return (
        f'<g class="phase {kind}" data-phase="{safe(box.phase)}">'
        f'<title>{safe(box.phase)}{title}</title><rect {shape} rx="6"/>{texts}{mark}</g>'
    )


def _vote(box: Box) -> str:
    """A diamond on the upper left corner of a box."""
    shape = f"M{point((box.x, box.y - 5))}{DIAMOND}"
    return f'<path class="vote" style="fill:var(--frame)" d="{shape}"/>'


def text(role: str, x: float, y: float, words: str, anchor: str = "start") -> str:
    """One line of text."""
    place = f'x="{number(x)}" y="{number(y)}"'
    return f'<text class="{role}" {place} text-anchor="{anchor}">{safe(words)}</text>'


def arrow(
    kind: str, rows: Iterable[int], topology: Topology, subscribers: Subscribers, marks: str
) -> str:
    """A group that stands for some rows, with a tooltip that lists them and their subscribers."""
    triggers = list(dict.fromkeys(topology.rows[row][0] for row in rows))
    subscribed = " subscribed" if any(trigger in subscribers for trigger in triggers) else ""
    numbers = " ".join(map(str, rows))
    tooltip = "\n".join(map(safe, _tooltip(rows, triggers, topology, subscribers)))
    return (
        f'<g class="arrow {kind}{subscribed}" data-rows="{numbers}">'
        f"<title>{tooltip}</title>{marks}</g>"
    )


def _tooltip(
    rows: Iterable[int], triggers: Iterable[str], topology: Topology, subscribers: Subscribers
) -> Iterator[str]:
    for row in rows:
        trigger, _, destination = topology.rows[row]
        yield f"{trigger}: {', '.join(sources(topology.rows[row]))} → {destination}"
    for trigger in triggers:
        if trigger in subscribers:
            yield f"subscribers of {trigger}: {', '.join(subscribers[trigger])}"


def _subscribers(entry: Entry) -> str:
    return text("signal" if entry.is_signal else "subscribers", entry.x, entry.y, entry.text)


def _legend_entry(entry: LegendEntry) -> str:
    x, y = entry.place
    words = text("meaning", entry.text_place[0], y + 4, entry.text)
    sample = ""
    if entry.kind == "vote":
        shape = f"M{point((x + 13, y - 5))}{DIAMOND}"
        sample = f'<path class="head" style="color:var(--frame)" d="{shape}"/>'
    elif entry.has_sample:
        line = (x, y), (x + 26, y)
        sample = f'<path class="line" d="{path(line)}"/><path class="head" d="{head(*line)}"/>'
    return f'<g class="legend {entry.kind}">{sample}{words}</g>'


def safe(words: str) -> str:
    """Escaped, without characters that XML forbids."""
    return escape("".join(letter if letter.isprintable() else "\ufffd" for letter in words))

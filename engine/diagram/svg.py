"""The picture as SVG, for light and dark pages, without fonts and scripts."""

from __future__ import annotations

from collections.abc import Collection

from ..layout.box_tree import Box
from ..layout.edge_paths import Text
from ..layout.scene import Arrow, build_scene
from ..layout.text_metrics import LINE_HEIGHT
from ..statechart.topology import Topology
from .subscriber_list import Subscribers
from .svg_document import arrow, document, kinds_shown, phase, safe, text
from .svg_paths import head, number, path

NO_SUBSCRIBERS: Subscribers = {}


def svg(
    topology: Topology,
    subscribers: Subscribers = NO_SUBSCRIBERS,
    votes: Collection[str] = (),
) -> str:
    """The chart as an SVG document, with the list of subscribers below, if there are any."""
    scene = build_scene(topology)
    parts = [phase(box, _names(box), box.phase in votes) for box in scene.boxes]
    parts += [
        arrow(drawn.kind, drawn.rows, topology, subscribers, _marks(drawn))
        for drawn in scene.arrows
    ]
    kinds = kinds_shown({drawn.kind for drawn in scene.arrows}, subscribers, votes)
    return document(parts, scene.width, scene.height, kinds, subscribers)


def _names(box: Box) -> str:
    if box.children:
        return text("name", box.x + 10, box.y + 17, box.name)
    x, y = box.x + box.width / 2, box.y + box.height / 2
    if not box.way_out:
        return text("name", x, y + 4, box.name, "middle")
    return text("name", x, y - 2, box.name, "middle") + text(
        "exit", x, y + 12, box.way_out, "middle"
    )


def _marks(drawn: Arrow) -> str:
    lines = "".join(map(path, drawn.lines))
    heads = "".join(head(*tip) for tip in drawn.tips)
    return f'<path class="line" d="{lines}"/><path class="head" d="{heads}"/>{_label(drawn.label)}'


def _label(label: Text) -> str:
    if len(label.lines) < 2:
        return text("label", label.x, label.y, "".join(label.lines), label.anchor)
    x = number(label.x)
    steps = [-LINE_HEIGHT * (len(label.lines) - 1), *(LINE_HEIGHT for _ in label.lines[1:])]
    spans = (
        f'<tspan x="{x}" dy="{number(step)}">{safe(line)}</tspan>'
        for step, line in zip(steps, label.lines, strict=True)
    )
    start = f'<text class="label" x="{x}" y="{number(label.y)}" text-anchor="{label.anchor}">'
    return f"{start}{''.join(spans)}</text>"

"""The picture for narrow frames as SVG: one column, in which most rows are lines of text."""

from __future__ import annotations

from collections.abc import Collection

from ..layout.box_tree import Box, box_tree
from ..layout.edge_bundles import bundle_rows
from ..statechart.topology import Topology
from .legend import longest_entry
from .narrow_layout import LINE_HEIGHT, NAME_Y, STEP_HEIGHT, TEXT_X, lay_out_narrow
from .row_texts import row_texts
from .subscriber_list import Subscribers, longest_name
from .svg import NO_SUBSCRIBERS
from .svg_document import arrow, document, kinds_shown, phase, text
from .svg_paths import head, path


def narrow_svg(
    topology: Topology,
    subscribers: Subscribers = NO_SUBSCRIBERS,
    votes: Collection[str] = (),
) -> str:
    """The chart as an SVG document that is as narrow as its texts allow."""
    whole = box_tree(topology, bundle_rows(topology))
    kinds = kinds_shown({*topology.kinds, "foot"}, subscribers, votes)
    least = max(longest_entry(kinds), longest_name(subscribers))
    layout = lay_out_narrow(whole, row_texts(topology, whole), least)
    parts = [phase(box, _names(box), box.phase in votes) for box in layout.boxes]
    for step in layout.steps:
        line = (step.x, step.y - STEP_HEIGHT), (step.x, step.y)
        marks = f'<path class="line" d="{path(line)}"/><path class="head" d="{head(*line)}"/>'
        marks += text("label", step.x + 8, step.y - 9, step.row.text)
        parts.append(arrow(step.row.kind, (step.row.row,), topology, subscribers, marks))
    for row in layout.lines:
        words = text("label", row.x, row.y, row.row.text)
        parts.append(arrow(row.row.kind, (row.row.row,), topology, subscribers, words))
    return document(parts, layout.width, layout.height, kinds, subscribers)


def _names(box: Box) -> str:
    name = text("name", box.x + TEXT_X, box.y + NAME_Y, box.name)
    if not box.way_out:
        return name
    return name + text("exit", box.x + TEXT_X, box.y + NAME_Y + LINE_HEIGHT, box.way_out)

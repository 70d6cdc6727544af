"""Where the ranks of one training vote: the phases that get a mark in the picture."""

from __future__ import annotations

from collections.abc import Collection

from ..layout.box_tree import Box
from ..statechart.phase_paths import CLOSING, enclosing, scope_name
from ..statechart.topology import Topology

MARK = "\N{BLACK DIAMOND}"
"""Behind the name of a phase, in the texts for other drawing tools."""


def voting_phases(topology: Topology, subscribed: Collection[str]) -> list[str]:
    """The phases at which the ranks vote.

    That is before the activity of a phase into which a signal leads that has subscribers, or is one
    of `Chart.votes`; and after it outside of a batch, on what follows.
    """
    chart = topology.chart
    triggers = {*subscribed, *(chart.votes or ())}
    entered = {row[2] for row in topology.rows if row[0] in triggers}
    unit = chart.scope("unit")
    return [
        leaf
        for leaf in topology.leaves
        if "." in leaf
        and scope_name(leaf) not in CLOSING
        and (leaf in entered or unit not in [scope_name(path) for path in enclosing(leaf)])
    ]


def marked_name(box: Box, votes: Collection[str]) -> str:
    """The name of a phase, with the mark of a vote."""
    return f"{box.name} {MARK}" if box.phase in votes else box.name

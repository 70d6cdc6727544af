"""Identifiers of phases in the text formats, which allow few characters in them."""

from __future__ import annotations

import re

from ..statechart.phase_paths import inside, sources
from ..statechart.topology import Topology


def phase_ids(topology: Topology) -> dict[str, str]:
    """A unique identifier for every phase: `phase_fit_epoch` for `fit.epoch`."""
    names: dict[str, str] = {}
    for phase in (*topology.scopes, *topology.leaves):
        name = "phase_" + re.sub(r"\W", "_", phase, flags=re.ASCII)
        while name in names.values():
            name += "_"
        names[phase] = name
    return names


def scopes_with_local_rows(topology: Topology) -> set[str]:
    """The composites with a row from the composite itself to a phase inside it."""
    return {
        source
        for row in topology.rows
        for source in sources(row)
        if source in topology.scopes and inside(row[2], source)
    }

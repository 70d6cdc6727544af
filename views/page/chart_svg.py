"""The drawn chart of a recording, for its page."""

from __future__ import annotations

from collections.abc import Sequence

from ..recordings.records import Row


def drawn(rows: Sequence[Row]) -> str:
    """The chart as SVG; empty where the rows, which come from a file, make none.

    Cost: the first time, the import of the engine, which is that of torch.
    """
    from ...engine.diagram.svg import svg
    from ...engine.statechart.topology import ChartError, Topology

    try:
        return svg(Topology(rows))
    except (ChartError, ValueError):
        return ""

"""The error of a chart that is unsound."""

from __future__ import annotations


class ChartError(ValueError):
    """A chart is unsound; the message names the row, the scope or the phase."""

"""The epochs of a fit as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .text_columns import columns

Row = Mapping[str, object]

_FIRST = ("epoch", "step", "lr")
_LEFT_OUT = ("fit", "samples", "outcome")


def table(rows: Sequence[Row]) -> str:
    """One line an epoch of a history; what is no number is left out.

    The outcomes are shown if an epoch was not completed.
    """
    names = [*_FIRST, *_metrics(rows)]
    if any(row["outcome"] != "completed" for row in rows):
        names.append("outcome")
    lines = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    return columns(lines)


def _metrics(rows: Sequence[Row]) -> list[str]:
    numbers = (
        name for row in rows for name, value in row.items() if isinstance(value, (int, float))
    )
    return [name for name in dict.fromkeys(numbers) if name not in (*_FIRST, *_LEFT_OUT)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

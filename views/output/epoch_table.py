"""Format the epochs of a fit as a text table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .text_columns import align_columns

HistoryRow = Mapping[str, object]

_FIRST_COLUMNS = ("epoch", "step", "lr")
_OMITTED_COLUMNS = ("fit", "samples", "outcome")


def format_epochs(rows: Sequence[HistoryRow]) -> str:
    """One line for each row of a history; metrics that are not numbers are left out.

    There is a column of outcomes if an epoch was not completed.
    """
    names = [*_FIRST_COLUMNS, *_metric_names(rows)]
    if any(row["outcome"] != "completed" for row in rows):
        names.append("outcome")
    lines = [names, *([_format_cell(row.get(name)) for name in names] for row in rows)]
    return align_columns(lines)


def _metric_names(rows: Sequence[HistoryRow]) -> list[str]:
    numbers = (
        name for row in rows for name, value in row.items() if isinstance(value, (int, float))
    )
    known = (*_FIRST_COLUMNS, *_OMITTED_COLUMNS)
    return [name for name in dict.fromkeys(numbers) if name not in known]


def _format_cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

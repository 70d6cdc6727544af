"""Format the epochs of a fit as a text table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .text_columns import align_columns

HistoryRow = Mapping[str, object]

_FIRST_COLUMNS = ("epoch", "step", "lr")
_OMITTED_COLUMNS = ("fit", "samples", "outcome")


def format_epochs(rows: Sequence[HistoryRow]) -> str:
    """One line for each row of a history, epochs counted from 1; only metrics that are numbers.

    There is a column of outcomes if an epoch was not completed.
    """
    names = [*_FIRST_COLUMNS, *_metric_names(rows)]
    if any(row["outcome"] != "completed" for row in rows):
        names.append("outcome")
    lines = [names, *([_format_cell(_counted(row, name)) for name in names] for row in rows)]
    return align_columns(lines)


def _metric_names(rows: Sequence[HistoryRow]) -> list[str]:
    numbers = (
        name for row in rows for name, value in row.items() if isinstance(value, (int, float))
    )
    known = (*_FIRST_COLUMNS, *_OMITTED_COLUMNS)
    return [name for name in dict.fromkeys(numbers) if name not in known]


def _counted(row: HistoryRow, name: str) -> object:
    value = row.get(name)
    return value + 1 if name == "epoch" and isinstance(value, int) else value


def _format_cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""The rows of a history in a few words, and as a table of HTML for notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from numbers import Real
from typing import Any

from ._row import RATE, Row, to_python

_COUNTERS = ("epoch", "step", RATE)
_LEFT_OUT = ("fit", "samples", "outcome", *_COUNTERS)
_MOST_ROWS = 200
_MOST_METRICS = 6


def epochs_text(rows: Sequence[Row]) -> str:
    """How many epochs, and the last values of the metrics."""
    if not rows:
        return "no epoch yet"
    epochs = len({(row["fit"], row["epoch"]) for row in rows})
    names = list(_metric_names(rows))
    last = {name: _last_value(rows, name) for name in names[:_MOST_METRICS]}
    metrics = [f"{name}={_cell(value)}" for name, value in last.items()]
    more = ["…"] * (len(names) > _MOST_METRICS)
    return ", ".join([f"{epochs} epoch{'s' * (epochs > 1)}", *metrics, *more])


def history_html(rows: Sequence[Row]) -> str:
    """A table with the newest rows; epochs count from 1, and values that are no numbers are out."""
    names = [*_COUNTERS, *_metric_names(rows)]
    if any(row["outcome"] not in ("completed", None) for row in rows):
        names.append("outcome")
    lines = [_html_row("td", [_shown(row, name) for name in names]) for row in rows[-_MOST_ROWS:]]
    left_out = len(rows) - _MOST_ROWS
    caption = f"<caption>the last {_MOST_ROWS} of {len(rows)} rows</caption>" * (left_out > 0)
    head = f"<thead>{_html_row('th', names)}</thead>"
    table = f"<table>{caption}{head}<tbody>{''.join(lines)}</tbody></table>"
    return f'<div style="overflow-x: auto">{table}</div>'


def _metric_names(rows: Sequence[Row]) -> Iterator[str]:
    """Names of metrics that are numbers, in the order of their first appearance."""
    numbers = (name for row in rows for name in row if _is_number(row[name]))
    return (name for name in dict.fromkeys(numbers) if name not in _LEFT_OUT)


def _last_value(rows: Sequence[Row], name: str) -> Any:
    return next(row[name] for row in reversed(rows) if _is_number(row.get(name)))


def _shown(row: Row, name: str) -> str:
    return _cell(row["epoch"] + 1 if name == "epoch" else row.get(name))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) or (getattr(value, "shape", None) == () and not _is_meta(value))


def _is_meta(value: Any) -> bool:
    return bool(getattr(value, "is_meta", False))


def _cell(value: Any) -> str:
    value = to_python(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if isinstance(value, (int, str)) else ""


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"

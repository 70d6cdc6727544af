"""The page that compares two runs, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..output.output_files import write_atomically
from ..recordings.comparison import Difference, compare
from ..recordings.epoch_times import epoch_times
from ..recordings.recording import Recording
from ..recordings.recording_set import merge_totals
from ..recordings.run_health import status
from ..recordings.run_results import run_results
from ..recordings.totals import Totals, totals
from .page import COMPARE, as_json
from .run_numbers import results_of, spread_of, times_of


def write_comparison(a: Sequence[Recording], b: Sequence[Recording], out: Path) -> None:
    """Write the page of the differences between two runs, each of one or more ranks.

    Raises:
        OSError: `out` cannot be written.
    """
    before, after = merge_totals(map(totals, a)), merge_totals(map(totals, b))
    differences = compare(a, b)
    comparison = {
        "a": [_run(recording) for recording in a],
        "b": [_run(recording) for recording in b],
        "results": [results_of(run_results(run[0])) | times_of(epoch_times(run)) for run in (a, b)],
        "rows": a[0].meta.rows,
        "row_counts": _row_counts(before, after),
        "phases": [_difference(one) for one in differences.phases],
        "transitions": [_difference(one) for one in differences.rows],
        "receivers": [_difference(one) for one in differences.receivers],
    }
    html = COMPARE.html("two runs · trackside", {"comparison": as_json(comparison)})
    write_atomically(out, lambda path: path.write_text(html, encoding="utf-8"))


def _run(recording: Recording) -> dict[str, str]:
    return {"name": recording.meta.name, "status": str(status(recording))}


def _difference(one: Difference) -> list[Any]:
    spreads = [spread_of(spread) for spread in one.spreads]
    return [one.name, one.before.count, one.before.ns, one.after.count, one.after.ns, *spreads]


def _row_counts(before: Totals, after: Totals) -> list[list[int]]:
    """For each row of the first run's chart: how often each run took it."""
    rows: dict[tuple[str, ...], int] = {entry[:3]: entry.row for entry in before.transitions}
    first, second = _counts(before, rows), _counts(after, rows)
    return [[row, first.get(row, 0), second.get(row, 0)] for row in {**first, **second}]


def _counts(run: Totals, rows: Mapping[tuple[str, ...], int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for entry, total in run.transitions.items():
        row = rows.get(entry[:3], entry.row)
        counts[row] = counts.get(row, 0) + total.count
    return counts

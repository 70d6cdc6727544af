"""How two runs differ, as a page in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..output.output_files import write_whole
from ..recordings.comparison import Difference, compare
from ..recordings.recording import Recording
from ..recordings.recording_set import merged
from ..recordings.run_health import status
from ..recordings.totals import Totals, totals
from .page import COMPARE, as_json


def write_comparison(a: Sequence[Recording], b: Sequence[Recording], out: Path) -> None:
    """Write the page of the differences between two runs, each of one or more ranks.

    Raises:
        OSError: `out` cannot be written.
    """
    before, after = merged(map(totals, a)), merged(map(totals, b))
    found = compare(before, after)
    told = {
        "a": [_run(recording) for recording in a],
        "b": [_run(recording) for recording in b],
        "rows": a[0].meta.rows,
        "made": _made(before, after),
        "phases": [_difference(one) for one in found.phases],
        "transitions": [_difference(one) for one in found.rows],
        "receivers": [_difference(one) for one in found.receivers],
    }
    html = COMPARE.html("two runs · trackside", {"comparison": as_json(told)})
    write_whole(out, lambda path: path.write_text(html, encoding="utf-8"))


def _run(recording: Recording) -> dict[str, str]:
    return {"name": recording.meta.name, "status": str(status(recording))}


def _difference(one: Difference) -> list[Any]:
    return [one.name, one.before.count, one.before.ns, one.after.count, one.after.ns]


def _made(before: Totals, after: Totals) -> list[list[int]]:
    """For each row of the first run's chart how often both took it."""
    rows: dict[tuple[str, ...], int] = {entry[:3]: entry.row for entry in before.transitions}
    first, second = _by_row(before, rows), _by_row(after, rows)
    return [[row, first.get(row, 0), second.get(row, 0)] for row in {**first, **second}]


def _by_row(found: Totals, rows: Mapping[tuple[str, ...], int]) -> dict[int, int]:
    made: dict[int, int] = {}
    for entry, total in found.transitions.items():
        row = rows.get(entry[:3], entry.row)
        made[row] = made.get(row, 0) + total.count
    return made

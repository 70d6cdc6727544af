"""Write recordings as CSV: their records, or what the page saves, the metrics and the times."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from ...handlers.recording.format import Kind
from ..recordings.recording import Recording
from ..recordings.records import Record
from ..recordings.symbol_table import SymbolTable
from ..recordings.totals import totals

_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")
_UNKNOWN = 2**32 - 1


def write_csv(recordings: Sequence[Recording], file: IO[bytes], table: str = "records") -> None:
    """Write one of the `TABLES`; seconds count from when the recorder was attached.

    Each line begins with the run and its rank. An apostrophe is put before text that a
    spreadsheet would run as a formula.
    """
    columns, lines = TABLES[table]
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(("run", "rank", *columns))
    for recording in recordings:
        meta = recording.meta
        run = _escape_formula(meta.name)
        writer.writerows([run, meta.rank, *line] for line in lines(recording))
    text.detach()


def _records(recording: Recording) -> Iterator[list[object]]:
    """All records that are left.

    `value` is the batch of a transition, or its epoch outside of batches; the value of a scalar;
    the step of a position, which has an `epoch`. All numbers count from 0, as those of the state.
    """
    table = recording.table
    for record in recording.records():
        seconds = _seconds(record.time_ns, recording)
        epoch = record.id if record.kind == Kind.POSITION else ""
        yield [record.number, seconds, record.kind.name.lower(), *_cells(record, table), epoch]


def _metrics(recording: Recording) -> Iterator[list[object]]:
    """Loss, learning rate and metrics of the whole run, by time."""
    for one in recording.metrics():
        seconds = _seconds(one.time_ns, recording)
        yield [_escape_formula(one.name), seconds, one.epoch, one.step, f"{one.value:.9g}"]


def _times(recording: Recording) -> Iterator[list[object]]:
    """Phases and handlers of the whole run, the longest handlers first."""
    sums = totals(recording)
    for path, total in sums.phases.items():
        if total.count:
            yield ["phase", path, "", "", total.count, f"{total.seconds:.9f}"]
    for entry, total in sorted(sums.receivers.items(), key=lambda item: -item[1].ns):
        names = map(_escape_formula, entry)
        yield ["handler", *names, total.count, f"{total.seconds:.9f}"]


_Lines = Callable[[Recording], Iterator[list[object]]]

TABLES: Mapping[str, tuple[tuple[str, ...], _Lines]] = {
    "records": (
        ("number", "seconds", "kind", "name", "source", "destination", "value", "epoch"),
        _records,
    ),
    "metrics": (("metric", "seconds", "epoch", "step", "value"), _metrics),
    "times": (("what", "name", "signal", "module", "count", "seconds"), _times),
}
"""The columns of each table, after run and rank, and what makes its lines; the last two have the
columns of the page's files."""


def _seconds(time_ns: int, recording: Recording) -> str:
    return f"{(time_ns - recording.meta.monotonic_ns) / 1e9:.9f}"


def _cells(record: Record, table: SymbolTable) -> list[object]:
    """The cells of name, source, destination and value."""
    if record.kind == Kind.TRANSITION:
        entry = table.transition(record.id)
        value = "" if record.argument == _UNKNOWN else record.argument
        return [entry.trigger, entry.source, entry.destination, value]
    if record.kind == Kind.SCALAR:
        return [_escape_formula(table.scalar(record.id)), "", "", f"{record.value:.9g}"]
    if record.kind == Kind.POSITION:
        return ["step", "", "", record.argument]
    names = {Kind.CANCEL: table.cancel, Kind.ERROR: table.error}
    if record.kind in names:
        return [_escape_formula(str(names[record.kind](record.id))), "", "", ""]
    receiver = table.receiver(record.id)
    return [_escape_formula(receiver.name), receiver.signal, "", ""]


def _escape_formula(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_PREFIXES) else text

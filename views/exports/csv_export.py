"""Write recordings as CSV, a line for each record."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import IO

from ...handlers.recording.format import Kind
from ..recordings.recording import Recording
from ..recordings.records import Record
from ..recordings.symbol_table import SymbolTable

COLUMNS = ("run", "rank", "number", "seconds", "kind", "name", "source", "destination", "value")
_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")
_UNKNOWN = 2**32 - 1


def write_csv(recordings: Sequence[Recording], file: IO[bytes]) -> None:
    """Write the columns `COLUMNS`; seconds count from when the recorder was attached.

    `value` is the batch of a transition, or its epoch outside of batches; the value of a scalar;
    the step of a position. An apostrophe is put before text that a spreadsheet would run as a
    formula.
    """
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for recording in recordings:
        writer.writerows(_lines(recording))
    text.detach()


def _lines(recording: Recording) -> Iterator[list[object]]:
    meta, table = recording.meta, recording.table
    run = _escape_formula(meta.name)
    for record in recording.records():
        seconds = f"{(record.time_ns - meta.monotonic_ns) / 1e9:.9f}"
        kind = record.kind.name.lower()
        yield [run, meta.rank, record.number, seconds, kind, *_cells(record, table)]


def _cells(record: Record, table: SymbolTable) -> list[object]:
    """The cells of name, source, destination and value."""
    if record.kind == Kind.TRANSITION:
        entry = table.transition(record.id)
        value = "" if record.argument == _UNKNOWN else record.argument
        return [entry.trigger, entry.source, entry.destination, value]
    if record.kind == Kind.SCALAR:
        return [_escape_formula(table.scalar(record.id)), "", "", f"{record.value:.9g}"]
    if record.kind == Kind.POSITION:
        return [f"epoch {record.id}", "", "", record.argument]
    names = {Kind.CANCEL: table.cancel, Kind.ERROR: table.error}
    if record.kind in names:
        return [_escape_formula(str(names[record.kind](record.id))), "", "", ""]
    receiver = table.receiver(record.id)
    return [_escape_formula(receiver.name), receiver.signal, "", ""]


def _escape_formula(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_PREFIXES) else text

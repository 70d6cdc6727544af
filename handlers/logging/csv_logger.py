"""A log for spreadsheets."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterable
from numbers import Number
from pathlib import Path
from typing import Any

from ._run_logger import FileLogger, Row


class CSVLogger(FileLogger):
    """Writes a line of CSV for each epoch: counters, learning rate, outcome, metrics.

    Cancelled and failed epochs have theirs, too, with what they computed until then; a cell is
    empty where there is nothing. A metric that comes later gets a column at the end: the file is
    then written anew, and replaces the old one at once. Text that a spreadsheet would take for a
    formula has an apostrophe before it. A line is on its way to the disk when the epoch is over,
    so that a killed process loses none. A file that is there is continued: each fit has a number,
    one above that of the last line.

    Signals: begin_fit, resumed, after_step, after_epoch, after_fit
    Reads: epoch, step, samples, lr, outcome, metrics, loss
    Cost: no sync a batch; one an epoch for each metric, and for the learning rate, that is a
        tensor; with `every` one each `every` steps, and one more for such a learning rate

    Args:
        path: of the file; its folder is made if it is missing.
        every: also a line with the `loss`, and without an `outcome`, each so many optimizer
            steps; None: none.

    Raises:
        TypeError: `every` is no int.
        ValueError: `every` is below 1; there is something at `path` that is no such log.
    """

    def __init__(self, path: str | Path, every: int | None = None) -> None:
        super().__init__(path, every, head=b"fit,epoch,step,samples,lr,")

    def _write(self, row: Row) -> None:
        cells = {_cell(name): _cell(value) for name, value in row.items()}
        columns = self._columns()
        new = [name for name in cells if name not in columns]
        line = _lines([[cells.get(name, "") for name in [*columns, *new]]])
        if new:
            self._widen(columns, new, line)
        else:
            self._append(line)

    def _columns(self) -> list[str]:
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])

    def _widen(self, columns: list[str], new: list[str], line: str) -> None:
        """Replace the file by one that has the `new` columns, too, and `line` at its end."""
        beside = self.path.with_name(f"{self.path.name}.new")
        with beside.open("w", encoding="utf-8", newline="") as wide:
            wide.write(_lines([[*columns, *new]]))
            if columns:
                with self.path.open(encoding="utf-8", newline="") as narrow:
                    next(narrow)
                    empty = "," * len(new) + "\n"
                    wide.writelines(row.rstrip("\r\n") + empty for row in narrow)
                shutil.copymode(self.path, beside)
            wide.write(line)
        os.replace(beside, self.path)
        self._lines += 1 if columns else 2

    def _fit_of(self, line: str) -> int:
        fit = line.partition(",")[0]
        return int(fit) if fit.isdigit() else -1  # there is only the header


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """What is no number as text in one line, which no spreadsheet takes for a formula."""
    if isinstance(value, Number):
        return value
    text = "" if value is None else " ".join(str(value).split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text

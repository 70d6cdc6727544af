"""Log to a CSV file, for spreadsheets."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterable
from numbers import Number
from pathlib import Path
from typing import Any

from ._row import Row
from ._run_logger import FileLogger


class CSVLogger(FileLogger):
    """Writes a line of CSV for each epoch: counters, learning rate, outcome, metrics.

    Cancelled and failed epochs have a line, too, with the metrics computed so far; a missing value
    is an empty cell. A new metric is added as the last column: a new file is then written, and
    replaces the old one atomically. Text that a spreadsheet could read as a formula is written with
    an apostrophe before it. A killed process loses no line of a completed epoch. An existing file
    is continued: the number of the next fit is that of the last line, plus 1.

    Signals: begin_fit, resumed, after_step, reported, after_epoch, after_fit
    Reads: epoch, step, samples, lr, outcome, metrics, reported, loss
    Cost: no sync a batch; one a row for each metric or learning rate that is a tensor; with
        `every` also one each `every` steps, two if the learning rate is a tensor
    Does not: write pictures, or the loss of a step without `every`

    Args:
        path: the file; its folder is created.
        every: also write a line with the `loss`, and without an `outcome`, for every n-th optimizer
            step, from 1; None: write none.

    Raises:
        TypeError: `every` is not an int.
        ValueError: `every` is below 1; `path` is not such a log.
    """

    reads = ("epoch", "step", "samples", "outcome", "metrics", "reported", "loss")

    def __init__(self, path: str | Path, every: int | None = None) -> None:
        super().__init__(path, every, header=b"fit,epoch,step,samples,lr,")

    def _write(self, row: Row) -> None:
        cells = {_cell(name): _cell(value) for name, value in row.items()}
        columns = self._columns()
        new = [name for name in cells if name not in columns]
        line = _csv_text([[cells.get(name, "") for name in [*columns, *new]]])
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
        """Replace the file by one with the `new` columns added, and `line` at its end."""
        replacement = self.path.with_name(f"{self.path.name}.new")
        with replacement.open("w", encoding="utf-8", newline="") as new_file:
            new_file.write(_csv_text([[*columns, *new]]))
            if columns:
                with self.path.open(encoding="utf-8", newline="") as old_file:
                    next(old_file)
                    empty = "," * len(new) + "\n"
                    new_file.writelines(row.rstrip("\r\n") + empty for row in old_file)
                shutil.copymode(self.path, replacement)
            new_file.write(line)
        os.replace(replacement, self.path)
        self._lines += 1 if columns else 2

    def _fit_number(self, line: str) -> int:
        fit = line.partition(",")[0]
        return int(fit) if fit.isdigit() else -1  # the header


def _csv_text(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A number, or text in one line that no spreadsheet reads as a formula."""
    if isinstance(value, Number):
        return value
    text = "" if value is None else " ".join(str(value).split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text

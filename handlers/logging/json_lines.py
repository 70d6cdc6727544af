"""Log to a file of JSON lines, for programs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ._row import Row
from ._run_logger import FileLogger


class JSONLines(FileLogger):
    """Writes a line of JSON for each epoch: counters, learning rate, outcome, metrics.

    Cancelled and failed epochs have a line, too, with the metrics computed so far. Tensors are
    written as lists, and floats that JSON does not support as text: "NaN", "Infinity", "-Infinity".
    A killed process loses no line of a completed epoch. An existing file is continued: the number
    of the next fit is that of the last line, plus 1.

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
        super().__init__(path, every, header=b'{"fit": ')

    def _write(self, row: Row) -> None:
        strict = {name: _strict(value) for name, value in row.items()}
        self._append(json.dumps(strict, allow_nan=False) + "\n")

    def _fit_number(self, line: str) -> int:
        return int(json.loads(line)["fit"])


def _strict(value: Any) -> Any:
    """`value` with text in place of the floats that JSON does not support."""
    if isinstance(value, (list, tuple)):
        return [_strict(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return value

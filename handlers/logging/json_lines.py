"""A log for programs to read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ._run_logger import FileLogger, Row


class JSONLines(FileLogger):
    """Writes a line of JSON for each epoch: counters, learning rate, outcome, metrics.

    Cancelled and failed epochs have theirs, too, with what they computed until then. Tensors are
    lists; what JSON has no number for is text, "NaN", "Infinity", "-Infinity". A line is on its
    way to the disk when the epoch is over, so that a killed process loses none. A file that is
    there is continued: each fit has a number, one above that of the last line.

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
        super().__init__(path, every, head=b'{"fit": ')

    def _write(self, row: Row) -> None:
        strict = {name: _strict(value) for name, value in row.items()}
        self._append(json.dumps(strict, allow_nan=False, default=str) + "\n")

    def _fit_of(self, line: str) -> int:
        return int(json.loads(line)["fit"])


def _strict(value: Any) -> Any:
    """`value` with text for the floats that JSON does not know."""
    if isinstance(value, (list, tuple)):
        return [_strict(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return value

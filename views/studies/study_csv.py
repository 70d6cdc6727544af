"""Write the table of a study as CSV."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from ..output.output_files import write_atomically
from .paired_interval import Interval
from .study_result import StudyResult
from .study_table import Line

COLUMNS = (
    "variation",
    "fits",
    "failed",
    "mean",
    "deviation",
    "difference",
    "low",
    "high",
    "seconds",
    "handler_seconds",
)


def write_study_csv(study: StudyResult, path: Path) -> None:
    """A line for each variation; then a column for each seed, with the value of the metric."""
    seeds = study.seeds

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*COLUMNS, *(f"seed {seed}" for seed in seeds)])
            for line in study.lines:
                writer.writerow([*_cells(line), *(line.values.get(seed, "") for seed in seeds)])

    write_atomically(path, write)


def _cells(line: Line) -> list[Any]:
    difference = line.difference or Interval(float("nan"))
    has_one = line.difference is not None
    found = [
        line.variation.label,
        len(line.values),
        line.fits - len(line.values),
        line.mean,
        line.deviation,
        difference.mean if has_one else None,
        difference.low,
        difference.high,
        line.seconds,
        line.handler_seconds,
    ]
    return ["" if value is None else value for value in found]

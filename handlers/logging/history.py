"""Keep the results of each epoch in memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...events import TrainerProtocol, TrainState
from .._stateful import Stateful
from ._history_table import epochs_text, history_html
from ._row import RATE, Row, belongs_to_a_row, counters, to_python

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COUNTERS = ("fit", "epoch", "step", "samples", "lr", "outcome")


class History(Stateful):
    """Keeps a row for each epoch, and one for each step within it at which metrics were reported.

    Cancelled and failed epochs have a row, too, with the metrics computed so far. A second fit
    appends its rows.

    Signals: begin_fit, reported, after_epoch
    Reads: epoch, step, samples, lr, outcome, metrics, reported, ends_round
    Cost: no sync; one for each row if the learning rate is a tensor
    Does not: write a file, or keep a row for each batch

    Attributes:
        rows: dicts in the order of the steps: `fit` and `epoch` (0-based), `step` (optimizer steps
            made in this fit), `samples` (seen in this fit), `lr` (of the first parameter group; of
            others `lr_1`, and `lr_<name>` of an optimizer that has a name), `outcome` (completed,
            cancelled, failed; None in the middle of an epoch), and the metrics by name: those that
            were reported there, in the row of an epoch all of the epoch. `validate(name=…)`
            after a fit adds its metrics to the last row.
    """

    reads = ("epoch", "step", "samples", "outcome", "metrics", "reported")

    saved = ("rows", "_fit")
    needs = ("reported",)

    runs_before = ("LRSchedule", "ReduceOnPlateau")  # a row has the rate that was trained with

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._fit = 0

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._fit = self.rows[-1]["fit"] + 1 if self.rows else 0

    def reported(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if belongs_to_a_row(state):
            self._add(state, state.reported)

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._add(state, state.metrics, state.outcome)

    def _add(
        self, state: TrainState, metrics: Mapping[str, Any], outcome: str | None = None
    ) -> None:
        """Add metrics to the row of this step."""
        counted = {**counters(self._fit, state), "outcome": outcome}
        last = self.rows[-1] if self.rows else {}
        if all(last.get(name, self) == counted[name] for name in ("fit", "epoch", "step")):
            self.rows.pop()
            counted = {
                name: last.get(name) for name in counted
            }  # a schedule may have moved the rate
            counted["outcome"] = outcome or last["outcome"]
        else:
            last = {}
        self.rows.append({**counted, **last, **metrics, **counted})

    def __repr__(self) -> str:
        return f"History({epochs_text(self.rows)})"

    def _repr_html_(self) -> str:
        return history_html(self.rows)

    def to_csv(self, path: str | Path) -> None:
        """Write the rows to a file; a metric that an epoch did not compute is an empty cell.

        Text that a spreadsheet could read as a formula is written with an apostrophe before it.
        """
        columns = [*_COUNTERS, *self._metric_names()]
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([_cell(name) for name in columns])
            writer.writerows([_cell(row.get(name, "")) for name in columns] for row in self.rows)

    def plot(self, path: str | Path | None = None) -> Figure:
        """Plot each metric over the epochs, training and validation in one panel.

        Over the steps, if metrics were reported within epochs.

        Args:
            path: the file to save the figure to; its suffix sets the format. None: do not save.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: no epoch has computed a metric yet.
        """
        try:
            from matplotlib.figure import Figure  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ImportError(
                "History.plot needs matplotlib: pip install 'trackside[plot]'"
            ) from error
        panels = self._panels()
        unit, positions = self._positions()
        if not panels:
            raise ValueError(f"nothing to plot: no metric in {len(self.rows)} rows")
        figure = Figure(figsize=(6, 3 * len(panels)), layout="constrained")
        for number, (title, names) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(len(panels), 1, number)
            axes.set(title=title, xlabel=unit)
            for name in names:
                points = list(self._points(name, positions))
                axes.plot(*zip(*points, strict=True), marker=".", label=name)
            axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure

    def _metric_names(self) -> list[str]:
        """Names of the metrics, in the order of their first appearance."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return [name for name in names if name not in _COUNTERS]

    def _panels(self) -> dict[str, list[str]]:
        """Metrics to plot, grouped by what they measure: `loss: [train_loss, valid_loss]`."""
        panels: dict[str, list[str]] = {}
        for name in self._metric_names():
            is_number = any(isinstance(row.get(name), (int, float)) for row in self.rows)
            if is_number and not name.startswith(f"{RATE}_"):
                title = name.removeprefix("train_").removeprefix("valid_")
                panels.setdefault(title, []).append(name)
        return panels

    def _positions(self) -> tuple[str, list[int]]:
        """The unit of the horizontal axis, and the place of each row on it."""
        if all(row["outcome"] for row in self.rows):
            return "epochs", list(range(1, len(self.rows) + 1))
        steps = {row["fit"]: row["step"] for row in self.rows}  # of each fit its last step
        before = {fit: sum(s for other, s in steps.items() if other < fit) for fit in steps}
        return "steps", [before[row["fit"]] + row["step"] for row in self.rows]

    def _points(self, name: str, positions: list[int]) -> Iterator[tuple[int, float]]:
        for position, row in zip(positions, self.rows, strict=True):
            value = row.get(name)
            if isinstance(value, (int, float)):
                yield position, value


def _cell(value: Any) -> Any:
    value = to_python(value)
    if isinstance(value, Number):
        return value
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text

"""Keep the results of each epoch in memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...events import TrainerProtocol, TrainState
from .._stateful import Stateful

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COUNTERS = ("fit", "epoch", "step", "samples", "lr", "outcome")


class History(Stateful):
    """Keeps a row for each epoch: counters, learning rate, outcome, and the epoch's metrics.

    Cancelled and failed epochs have a row, too, with the metrics computed so far. A second fit
    appends its rows.

    Signals: begin_fit, after_epoch
    Reads: epoch, step, samples, lr, outcome, metrics
    Cost: no sync; one an epoch if the learning rate is a tensor

    Attributes:
        rows: dicts in the order of the epochs: `fit` and `epoch` (0-based), `step` (optimizer steps
            made in this fit), `samples` (seen in this fit), `lr` (the last one of the epoch),
            `outcome` (completed, cancelled, failed), and the metrics by name.
    """

    saved = ("rows", "_fit")

    runs_before = ("LRSchedule",)  # it may set the rate of the next epoch at after_epoch

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._fit = 0

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._fit = self.rows[-1]["fit"] + 1 if self.rows else 0

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        row = [
            self._fit,
            state.epoch,
            state.step,
            state.samples,
            _to_python(state.lr),
            state.outcome,
        ]
        counters = dict(zip(_COUNTERS, row, strict=True))
        self.rows.append(counters | state.metrics | counters)

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
                "History.plot needs matplotlib: pip install trackside[plot]"
            ) from error
        panels = self._panels()
        if not panels:
            raise ValueError(f"nothing to plot: no metric in {len(self.rows)} rows")
        figure = Figure(figsize=(6, 3 * len(panels)), layout="constrained")
        for number, (title, names) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(len(panels), 1, number)
            axes.set(title=title, xlabel="epochs")
            for name in names:
                points = list(self._points(name))
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
            if any(True for _ in self._points(name)):
                title = name.removeprefix("train_").removeprefix("valid_")
                panels.setdefault(title, []).append(name)
        return panels

    def _points(self, name: str) -> Iterator[tuple[int, float]]:
        for number, row in enumerate(self.rows, 1):
            value = row.get(name)
            if isinstance(value, (int, float)):
                yield number, value


def _to_python(value: Any) -> Any:
    return value.tolist() if isinstance(value, torch.Tensor) and not value.is_meta else value


def _cell(value: Any) -> Any:
    value = _to_python(value)
    if isinstance(value, Number):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text

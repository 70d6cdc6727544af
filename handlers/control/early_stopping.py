"""Stopping when nothing gets better."""

from __future__ import annotations

from typing import Literal

from ...events import CancelFitException, TrainerProtocol, TrainState
from .._stateful import Saved
from ._epoch_metric import EpochMetric


class EarlyStopping(EpochMetric, Saved):
    """Ends the fit when a metric has not improved for some epochs.

    An epoch that did not compute the metric, because it was cancelled before or because no
    validation was due, is not counted. NaN is no improvement.

    Signals: begin_fit, begin_epoch, after_cancel_<batch, train, validate>, after_epoch
    Reads: metrics, outcome, epoch, validation_due
    Raises: CancelFitException; LookupError without such a metric; wrong arguments at once
    Cost: no sync; one an epoch if the metric is a tensor
    Source: Lutz Prechelt, "Early Stopping — But When?", 1998

    Args:
        metric: its name in `state.metrics`.
        patience: epochs in a row without improvement after which the fit ends, from 1.
        min_delta: what counts as an improvement: better than the best by more than this, in
            units of the metric.
        mode: whether "min" or "max" is better.

    Attributes:
        best: the best value of this fit; None before the first.
        best_epoch: its epoch, 0-based; -1 before the first.
        waited: epochs since then.
    """

    saved = ("best", "best_epoch", "waited", "_cut_short")

    def __init__(
        self,
        metric: str = "valid_loss",
        patience: int = 3,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int):
            raise TypeError(f"EarlyStopping(patience={patience!r}): allowed: an int, from 1")
        if patience < 1:
            raise ValueError(f"EarlyStopping(patience={patience}): allowed: an int, from 1")
        if not min_delta >= 0:
            raise ValueError(f"EarlyStopping(min_delta={min_delta}): allowed: a number from 0")
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStopping(mode={mode!r}): allowed: 'min', 'max'")
        self.metric = metric
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.best: float | None = None
        self.best_epoch = -1
        self.waited = 0

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self.best, self.best_epoch, self.waited = None, -1, 0

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        value = self._of_epoch(state)
        if value is not None:
            self._judge(value, state.epoch)

    def _judge(self, value: float, epoch: int) -> None:
        if self._improves(value):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            best = "it never was a number"
            if self.best is not None:
                best = f"best was {self.best:.6g} in epoch {self.best_epoch}"
            raise CancelFitException(
                f"{self.metric} has not improved for {self.waited} epochs; {best}"
            )

    def _improves(self, value: float) -> bool:
        if self.best is None:
            return value == value  # noqa: PLR0124  # all but NaN
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta

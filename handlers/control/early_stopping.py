"""Stop a fit that no longer improves."""

from __future__ import annotations

from typing import Literal

from ...events import CancelFitException, TrainerProtocol, TrainState
from ...events.argument_checks import check_whole_number
from .._stateful import Stateful
from ._epoch_metric import EpochMetric


class EarlyStopping(EpochMetric, Stateful):
    """Ends the fit when a metric has not improved for some epochs.

    An epoch without the metric is not counted: it was cancelled, or no validation was due. NaN is
    not an improvement.

    Signals: begin_fit, begin_epoch, after_cancel_<batch, train, validate>, after_epoch
    Reads: metrics, outcome, epoch, validation_due
    Raises: CancelFitException; LookupError if the metric is missing; bad arguments in `__init__`
    Cost: no sync; one an epoch if the metric is a tensor
    Source: Lutz Prechelt, "Early Stopping — But When?", 1998

    Args:
        metric: its name in `state.metrics`.
        patience: the fit ends after this many epochs in a row without improvement, from 1.
        min_delta: an improvement is better than the best value by more than this, in units of
            the metric.
        mode: whether "min" or "max" is better.

    Attributes:
        best: the best value of this fit; None before the first value.
        best_epoch: the epoch of the best value, 0-based; -1 before the first value.
        waited: epochs since the best value.
    """

    saved = ("best", "best_epoch", "waited", "_cut_short")

    def __init__(
        self,
        metric: str = "valid_loss",
        patience: int = 3,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        check_whole_number(f"EarlyStopping(patience={patience!r})", patience, least=1)
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
        value = self._epoch_value(state)
        if value is not None:
            self._update(value, state.epoch)

    def _update(self, value: float, epoch: int) -> None:
        if self._improves(value):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            best = "no value was a number"
            if self.best is not None:
                best = f"best was {self.best:.6g} in epoch {self.best_epoch}"
            raise CancelFitException(
                f"{self.metric} has not improved for {self.waited} epochs; {best}"
            )

    def _improves(self, value: float) -> bool:
        if self.best is None:
            return value == value  # noqa: PLR0124  # any number but NaN
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta

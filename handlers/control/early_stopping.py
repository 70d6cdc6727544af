"""Stop a fit that no longer improves."""

from __future__ import annotations

from typing import Literal

from ...events import CancelFitException, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from .._stateful import Stateful
from ._judged_metric import JudgedMetric


class EarlyStopping(JudgedMetric, Stateful):
    """Ends the fit when a metric has not improved for some values in a row.

    A value is judged when it is reported: once an epoch, or after each validation within one. An
    epoch without the metric is not counted: it was cancelled, or no validation was due. NaN is not
    an improvement. The fit ends with the epoch whose end the last value belongs to, or at once in
    the middle of one.

    Signals: begin_fit, begin_epoch, after_cancel_<batch, train, validate>, reported, after_epoch
    Reads: reported, metrics, outcome, epoch, validation_due, ends_round
    Raises: CancelFitException; LookupError if the metric is missing; bad arguments in `__init__`
    Cost: no sync; one for each value that is a tensor
    Does not: restore the best weights: `Checkpoint(…, restore_best=True)` does
    Source: Lutz Prechelt, "Early Stopping — But When?", 1998

    Args:
        metric: the name under which it is reported.
        patience: the fit ends after this many values in a row without improvement, from 1; one
            value is reported each epoch, unless the fit validates more often.
        min_delta: an improvement is better than the best value by more than this, in units of
            the metric.
        mode: whether "min" or "max" is better.

    Attributes:
        best: the best value of this fit; None before the first value.
        best_epoch: the epoch of the best value, 0-based; -1 before the first value.
        waited: values since the best one.
    """

    reads = ("reported", "metrics", "outcome", "epoch", "validation_due")

    needs = ("reported",)
    saved = ("best", "best_epoch", "waited", "_cut_short", "_verdict")

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
        self._verdict = ""

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self.best, self.best_epoch, self.waited, self._verdict = None, -1, 0, ""

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        super().after_epoch(trainer, state)
        self._stop_if_due()

    def _judge(self, value: float, state: TrainState) -> None:
        if self._improves(value):
            self.best, self.best_epoch, self.waited = value, state.epoch, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            best = "no value was a number"
            if self.best is not None:
                best = f"best was {self.best:.6g} in epoch {self.best_epoch + 1}"
            unit = "epochs" if state.ends_round else "values"
            self._verdict = f"{self.metric} has not improved for {self.waited} {unit}; {best}"
        if not state.ends_round:  # else the epoch is whole, and ends first
            self._stop_if_due()

    def _stop_if_due(self) -> None:
        verdict, self._verdict = self._verdict, ""
        if verdict:
            raise CancelFitException(verdict)

    def _improves(self, value: float) -> bool:
        if self.best is None:
            return value == value  # noqa: PLR0124  # any number but NaN
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta

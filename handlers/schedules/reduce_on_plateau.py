"""A learning rate that falls when nothing gets better."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from torch.optim.lr_scheduler import ReduceLROnPlateau

from ...events import TrainerProtocol, TrainState
from .._stateful import SavedScheduler
from ..control._epoch_metric import EpochMetric
from ..optimization._optimizer_parameters import options_restored


class ReduceOnPlateau(EpochMetric, SavedScheduler):
    """Lowers the learning rate when a metric has not improved for some epochs.

    It is `torch.optim.lr_scheduler.ReduceLROnPlateau`, stepped when the next epoch begins. An
    epoch that did not compute the metric, because it was cancelled before or had no validation, is
    not counted. NaN is no improvement. When the fit closes, the optimizer has the rates that it
    came with.

    Signals: begin_fit, begin_epoch, after_cancel_<batch, train, validate>, after_epoch, after_fit
    Reads: metrics, outcome, validation_due, optimizer
    Writes: the learning rates of the optimizer
    Raises: LookupError when there is no such metric
    Cost: no sync; one an epoch if the metric is a tensor

    Args:
        metric: its name in `state.metrics`.
        factor: by which the rates are multiplied, between 0 and 1.
        patience: epochs in a row without improvement that are borne, from 0: the one after them
            lowers the rate.
        min_delta: what counts as an improvement: better than the best by more than this, in
            units of the metric.
        mode: whether "min" or "max" is better.
        cooldown: epochs after a reduction in which none is counted, from 0.
        min_lr: no rate is lowered below it.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    saved = ("_value", "_cut_short")

    runs_after = ("Unfreeze", "WeightDecayGroups")  # which say what groups the optimizer has

    def __init__(
        self,
        metric: str = "valid_loss",
        factor: float = 0.1,
        patience: int = 3,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] = "min",
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        for name, count in (("patience", patience), ("cooldown", cooldown)):
            if isinstance(count, bool) or not isinstance(count, int):
                raise TypeError(f"ReduceOnPlateau({name}={count!r}): allowed: an int, from 0")
        for name, number in (
            ("patience", patience),
            ("min_delta", min_delta),
            ("cooldown", cooldown),
            ("min_lr", min_lr),
        ):
            if not 0 <= number < math.inf:
                raise ValueError(f"ReduceOnPlateau({name}={number}): allowed: a number from 0")
        if not 0 < factor < 1:
            raise ValueError(f"ReduceOnPlateau(factor={factor}): allowed: between 0 and 1")
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceOnPlateau(mode={mode!r}): allowed: 'min', 'max'")
        self.metric = metric
        self.factor = factor
        self.patience = patience
        self.min_delta = min_delta
        self.mode: Literal["min", "max"] = mode
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.scheduler: ReduceLROnPlateau | None = None
        self._value: float | None = None

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        assert state.optimizer is not None
        with options_restored(state.optimizer):
            self._value = None
            self.scheduler = ReduceLROnPlateau(
                state.optimizer,
                mode=self.mode,
                factor=self.factor,
                patience=self.patience,
                threshold=self.min_delta,
                threshold_mode="abs",
                cooldown=self.cooldown,
                min_lr=self.min_lr,
            )
            try:
                yield
            finally:
                self.scheduler = None

    def begin_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        # not at after_epoch: who looks there finds the rate with which the epoch was trained
        super().begin_epoch(trainer, state)
        value, self._value = self._value, None
        if value is not None and self.scheduler is not None:
            self.scheduler.step(value)

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._value = self._of_epoch(state)

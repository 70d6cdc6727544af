"""A learning rate that is lowered when a metric stops improving."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from torch.optim.lr_scheduler import ReduceLROnPlateau

from ...events import TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from .._named_target import checked_name, optimizer_of
from .._stateful import SchedulerHandler
from ..control._judged_metric import JudgedMetric
from ..optimization._optimizer_parameters import preserve_options
from ._option_writer import OptionWriter


class ReduceOnPlateau(OptionWriter, JudgedMetric, SchedulerHandler):
    """Lowers the learning rate when a metric has not improved for some values in a row.

    Uses `torch.optim.lr_scheduler.ReduceLROnPlateau`, stepped when the metric is reported; at the
    end of an epoch, when the next one begins. An epoch that did not compute the metric, because it
    was cancelled before or had no validation, is not counted. NaN is not an improvement. When the
    fit closes, the optimizer gets its old rates again.

    Signals: begin_fit, begin_epoch, after_cancel_<batch, train, validate>, reported, after_epoch,
        after_fit
    Reads: reported, metrics, outcome, validation_due, ends_round, optimizer
    Writes: the learning rates of the optimizer
    Raises: LookupError when the metric does not exist
    Cost: no sync; one for each value that is a tensor
    Does not: raise a rate again before the fit ends

    Args:
        metric: the name under which it is reported.
        factor: the rates are multiplied by this, between 0 and 1.
        patience: values in a row without improvement that are tolerated, from 0; the next one
            lowers the rate. One value is reported each epoch, unless the fit validates more often.
        min_delta: a value improves if it is better than the best by more than this, in units of
            the metric.
        mode: whether "min" or "max" is better.
        cooldown: values after a reduction that are not counted, from 0.
        min_lr: no rate is lowered below this.
        of: name of the optimizer, of a trainer with several; None: the only one.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    written_at = ("begin_fit", "begin_epoch", "reported", "after_fit")
    reads = ("reported", "metrics", "outcome", "validation_due", "optimizer")

    needs = ("within_fit", "reported")
    saved = ("_value", "_cut_short")

    runs_after = ("Unfreeze", "WeightDecayGroups")  # they set the groups of the optimizer

    def __init__(
        self,
        metric: str = "valid_loss",
        factor: float = 0.1,
        patience: int = 3,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] = "min",
        cooldown: int = 0,
        min_lr: float = 0.0,
        *,
        of: str | None = None,
    ) -> None:
        for name, count in (("patience", patience), ("cooldown", cooldown)):
            check_whole_number(f"ReduceOnPlateau({name}={count!r})", count, 0)
        for name, number in (("min_delta", min_delta), ("min_lr", min_lr)):
            if not 0 <= number < math.inf:
                raise ValueError(f"ReduceOnPlateau({name}={number}): allowed: a number from 0")
        if not 0 < factor < 1:
            raise ValueError(f"ReduceOnPlateau(factor={factor}): allowed: between 0 and 1")
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceOnPlateau(mode={mode!r}): allowed: 'min', 'max'")
        self.of = checked_name("ReduceOnPlateau", of)
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
        optimizer = optimizer_of(state, self.of)
        assert optimizer is not None
        with preserve_options(optimizer):
            self._value = None
            self.scheduler = ReduceLROnPlateau(
                optimizer,
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
        # not at after_epoch: other receivers read there the rate that the epoch was trained with
        super().begin_epoch(trainer, state)
        self._apply()

    def _judge(self, value: float, state: TrainState) -> None:
        self._apply()  # an earlier value of the same epoch
        self._value = value
        if not state.ends_round:
            self._apply()

    def _apply(self) -> None:
        value, self._value = self._value, None
        if value is not None and self.scheduler is not None:
            self.scheduler.step(value)

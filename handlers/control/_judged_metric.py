"""Reads one metric where it is reported, for handlers that compare its values."""

from __future__ import annotations

import copy
from typing import Any, Self

from ...events import RehearsalPlan, TrainerProtocol, TrainState
from ...events.reported_metrics import missing_metric


class JudgedMetric:
    """Base of handlers that judge every reported value of one metric of a fit.

    It may be missing after a cancel. An epoch that should have reported it, and did not, is an
    error.
    """

    metric: str
    _cut_short = False

    def rehearse(self, plan: RehearsalPlan) -> Self:
        """Plan nothing that depends on values: only see that the metric is reported."""
        stand_in = copy.copy(self)
        vars(stand_in)["_judge"] = _judge_nothing
        return stand_in

    def begin_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._cut_short = False

    def after_cancel_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._cut_short = True

    def after_cancel_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._cut_short = True

    def after_cancel_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._cut_short = True

    def reported(self, trainer: TrainerProtocol, state: TrainState) -> None:
        value = state.reported.get(self.metric)
        if state.job == "fit" and value is not None:
            self._judge(self._number(value), state)

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        is_due = state.outcome == "completed" and state.validation_due and not self._cut_short
        if is_due and self.metric not in state.metrics:
            name = type(self).__name__
            raise LookupError(missing_metric(name, self.metric, state.metrics, state.epoch))

    def _number(self, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(
                f"{type(self).__name__} judges by {self.metric!r}, and {value!r:.80} was reported; "
                "allowed: a number"
            ) from error

    def _judge(self, value: float, state: TrainState) -> None:
        """Compare a value that was reported. Cost: at most one sync, to read it."""
        raise NotImplementedError


def _judge_nothing(value: float, state: TrainState) -> None:
    """No value of a rehearsal means anything."""

"""Reads the metric of an epoch, for handlers that compare epochs."""

from __future__ import annotations

from ...events import TrainerProtocol, TrainState


class EpochMetric:
    """Base of handlers that read one metric an epoch; it may be missing after a cancel."""

    metric: str
    _cut_short = False

    def begin_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._cut_short = False

    def after_cancel_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._cut_short = True

    def after_cancel_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._cut_short = True

    def after_cancel_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._cut_short = True

    def _epoch_value(self, state: TrainState) -> float | None:
        """The metric of the epoch that has ended; None if it was not due. Cost: at most one sync.

        Raises:
            LookupError: the epoch should have computed the metric, and did not.
        """
        if self.metric in state.metrics:
            return float(state.metrics[self.metric])
        if state.outcome == "completed" and state.validation_due and not self._cut_short:
            raise LookupError(
                f"{type(self).__name__} found no metric {self.metric!r} after epoch "
                f"{state.epoch}; there are: {', '.join(state.metrics) or 'none (attach Metrics)'}"
            )
        return None

"""The metric of an epoch, for handlers that judge epochs by it."""

from __future__ import annotations

from ...events import TrainerProtocol, TrainState


class EpochMetric:
    """Knows whether the epoch was cut short, in which case its metric may rightly be missing."""

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

    def _of_epoch(self, state: TrainState) -> float | None:
        """The metric of the epoch that is over; None where none was due. Cost: a sync at most.

        Raises:
            LookupError: it should be there, and is not.
        """
        if self.metric in state.metrics:
            return float(state.metrics[self.metric])
        if state.outcome == "completed" and state.validation_due and not self._cut_short:
            raise LookupError(
                f"{type(self).__name__} found no metric {self.metric!r} after epoch "
                f"{state.epoch}; there are: {', '.join(state.metrics) or 'none (attach Metrics)'}"
            )
        return None

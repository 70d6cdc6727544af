"""Skip epochs that an earlier run has completed."""

from __future__ import annotations

from ...events import CancelEpochException, Handler, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number


class SkipEpochs(Handler):
    """Cancels the first epochs of a fit before they read a batch, as if they had run before.

    The epochs keep their numbers. Handlers that use the numbers of epoch and batch (`OneCycle`,
    `Annealing`, `Unfreeze`, …) continue at the right place; those that count steps (`LRSchedule`)
    start at 0. A skipped epoch draws no random numbers.

    Signals: begin_epoch
    Reads: epoch
    Raises: CancelEpochException
    Cost: no sync
    Does not: count the steps of epochs that it skips, or draw their random numbers

    Args:
        before: the first epoch that is not skipped, 0-based, from 0.

    Raises:
        TypeError: `before` is not an int.
        ValueError: `before` is below 0.
    """

    reads = ("epoch",)

    def __init__(self, before: int) -> None:
        check_whole_number(f"SkipEpochs({before!r})", before, least=0)
        self.before = before

    def begin_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.epoch < self.before:
            raise CancelEpochException(f"epochs before {self.before} are skipped")

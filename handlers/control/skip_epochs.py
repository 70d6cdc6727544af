"""Re-entering a run."""

from __future__ import annotations

from ...events import CancelEpochException, TrainerProtocol, TrainState


class SkipEpochs:
    """Cancels the first epochs of a fit before they read a batch, as if they had been made.

    The epochs keep their numbers. Handlers that go by epoch and batch (`OneCycle`, `Annealing`,
    `Unfreeze`, …) go on where they would be; those that count what was done (`LRSchedule`) begin
    at the beginning. Nothing that a skipped epoch would have drawn from a random number generator
    is drawn.

    Signals: begin_epoch
    Reads: epoch
    Raises: CancelEpochException
    Cost: no sync

    Args:
        before: the number, 0-based, of the first epoch that is not skipped, from 0.

    Raises:
        TypeError: `before` is no int.
        ValueError: `before` is below 0.
    """

    def __init__(self, before: int) -> None:
        if isinstance(before, bool) or not isinstance(before, int):
            raise TypeError(f"SkipEpochs({before!r}): allowed: an int, from 0")
        if before < 0:
            raise ValueError(f"SkipEpochs({before}): allowed: an int, from 0")
        self.before = before

    def begin_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.epoch < self.before:
            raise CancelEpochException(f"epochs before {self.before} are skipped")

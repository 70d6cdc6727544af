"""Validation more often, or less often, than once an epoch."""

from __future__ import annotations

from ...events import TrainerProtocol, TrainState
from .._stateful import Saved


class ValidateEvery(Saved):
    """Validates after every n-th optimizer step or every n-th epoch, and at the end of the fit.

    Where a step in the middle of an epoch is meant, training pauses and goes on where it was. The
    ends of the epochs are then no reason to validate, but for the last one, if it has made a step
    since.

    Signals: begin_fit, after_step, after_train, after_validate
    Reads: step, epoch, n_epochs, batch_index, n_batches, outcome, paused, job, valid_loader
    Writes: validate_next, validation_due
    Cost: no sync

    Args:
        steps: updates from one validation to the next, counted from the begin of the fit, from 1.
        epochs: epochs from one validation to the next, from 1. Exactly one of the two is given.

    Raises:
        TypeError: both are given, or none, or a number is no int.
        ValueError: a number is below 1.
    """

    saved = ("_validated", "_waiting")

    def __init__(self, steps: int | None = None, epochs: int | None = None) -> None:
        if (steps is None) == (epochs is None):
            raise TypeError(
                f"ValidateEvery(steps={steps}, epochs={epochs}): give exactly one of the two"
            )
        for name, number in (("steps", steps), ("epochs", epochs)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
                raise TypeError(f"ValidateEvery({name}={number!r}): allowed: an int, from 1")
            if number is not None and number < 1:
                raise ValueError(f"ValidateEvery({name}={number}): allowed: an int, from 1")
        self.steps = steps
        self.epochs = epochs
        self._validated = 0
        self._waiting = False

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._validated, self._waiting = 0, False

    def after_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.steps is None or state.step % self.steps or state.outcome != "completed":
            return
        if state.batch_index + 1 == state.n_batches:
            self._waiting = True  # the training is over: no pause is needed
        else:
            state.validate_next = state.valid_loader is not None

    def after_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.paused is None:
            state.validation_due = self._is_due(state)

    def after_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job == "fit":
            self._validated, self._waiting = state.step, False

    def _is_due(self, state: TrainState) -> bool:
        is_last = state.epoch + 1 >= state.n_epochs
        if self.epochs is not None:
            return is_last or (state.epoch + 1) % self.epochs == 0
        wanted = self._waiting or state.validate_next or is_last
        return wanted and state.step != self._validated

"""Validate more often, or less often, than once an epoch."""

from __future__ import annotations

from typing import ClassVar

from ...events import TrainerProtocol, TrainState
from ...events.progress import is_last_batch, is_last_round
from ...events.utils.argument_checks import check_whole_number
from .._stateful import Stateful
from .._writes import Writes


class ValidateEvery(Stateful):
    """Validates after every n-th optimizer step or every n-th epoch, and at the end of the fit.

    In the middle of an epoch, training pauses for the validation and then continues. With `steps`,
    the end of an epoch adds no validation, except the end of the fit, if steps were made since the
    last one.

    Signals: begin_fit, after_step, after_train, after_validate
    Reads: step, epoch, n_epochs, batch_index, n_batches, outcome, paused, job, valid_loader
    Writes: validate_next, validation_due
    Cost: no sync
    Does not: validate at the end of every epoch where `steps` is given

    Args:
        steps: optimizer steps between two validations, counted from the begin of the fit, from 1.
        epochs: epochs between two validations, from 1. Give exactly one of the two.

    Raises:
        TypeError: both are given, or neither, or a number is not an int.
        ValueError: a number is below 1.
    """

    reads = (
        "step",
        "epoch",
        "n_epochs",
        "batch_index",
        "n_batches",
        "outcome",
        "paused",
        "job",
        "valid_loader",
    )
    writes: ClassVar[Writes] = {
        "after_step": ("validate_next",),
        "after_train": ("validation_due",),
    }

    needs = ("evaluation",)
    saved = ("_validated", "_waiting")

    def __init__(self, steps: int | None = None, epochs: int | None = None) -> None:
        if (steps is None) == (epochs is None):
            raise TypeError(
                f"ValidateEvery(steps={steps}, epochs={epochs}): give exactly one of the two"
            )
        for name, number in (("steps", steps), ("epochs", epochs)):
            if number is not None:
                check_whole_number(f"ValidateEvery({name}={number!r})", number, least=1)
        self.steps = steps
        self.epochs = epochs
        self._validated = 0
        self._waiting = False

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._validated, self._waiting = 0, False

    def after_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.steps is None or state.step % self.steps or state.outcome != "completed":
            return
        if is_last_batch(state):
            self._waiting = True  # the last batch: no pause is needed
        else:
            state.validate_next = state.valid_loader is not None

    def after_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.paused is None:
            state.validation_due = self._is_due(state)

    def after_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job == "fit":
            self._validated, self._waiting = state.step, False

    def _is_due(self, state: TrainState) -> bool:
        is_last = is_last_round(state)
        if self.epochs is not None:
            return is_last or (state.epoch + 1) % self.epochs == 0
        is_due = self._waiting or state.validate_next or is_last
        return is_due and state.step != self._validated

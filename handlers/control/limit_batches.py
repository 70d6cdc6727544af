"""Limit the batches of each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from ...events import Handler, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from .._writes import Writes


class LimitBatches(Handler):
    """Ends each training pass, and each validation of a fit, after a number of batches.

    A pass ends as if the loader had no more batches. Each epoch starts the training loader again,
    unless the loader is an iterator: it continues where the last epoch ended. `validate()` and
    `predict()` read all batches.

    Signals: begin_fit, after_fit
    Writes: batches_per_epoch, batches_per_validation
    Cost: no sync
    Does not: limit `validate()` and `predict()`

    Args:
        train: most batches in each training pass, from 1; None: all batches.
        valid: most batches in each validation, from 1; None: all batches.

    Raises:
        TypeError: a limit is not an int, or both are None.
        ValueError: a limit is below 1.
    """

    writes: ClassVar[Writes] = dict.fromkeys(
        ("begin_fit", "after_fit"), ("batches_per_epoch", "batches_per_validation")
    )

    runs_before = ("LRSchedule",)  # it reads the number of steps when the fit begins

    def __init__(self, train: int | None = None, valid: int | None = None) -> None:
        if train is None and valid is None:
            raise TypeError("LimitBatches(): give train=, valid=, or both: a number of batches")
        for name, limit in (("train", train), ("valid", valid)):
            if limit is not None:
                check_whole_number(f"LimitBatches({name}={limit!r})", limit, least=1)
        self.train = train
        self.valid = valid
        self.needs = ("within_fit", "evaluation") if train is None else ("within_fit",)

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        before = state.batches_per_epoch, state.batches_per_validation
        state.batches_per_epoch = _smallest(state.batches_per_epoch, self.train)
        state.batches_per_validation = _smallest(state.batches_per_validation, self.valid)
        try:
            yield
        finally:
            state.batches_per_epoch, state.batches_per_validation = before


def _smallest(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)

"""Short epochs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ..events import TrainState


class LimitBatches:
    """Ends each training, and each validation of a fit, after some batches.

    The passes end as if the loader had no more to give. Training begins its loader anew in each
    epoch, unless the loader is an iterator, which goes on where it was. `validate()` and
    `predict()` read all that they are given.

    Hears: begin_fit, begin_validate, after_fit
    Reads: job, valid_loader
    Writes: batches_per_epoch; batches and n_batches of a validation
    Cost: no sync

    Args:
        train: batches in each training, at most, from 1; None: all of them.
        valid: batches in each validation, at most, from 1; None: all of them.

    Raises:
        TypeError: a limit is no int, or none is given.
        ValueError: a limit is below 1.
    """

    runs_before = ("LRSchedule",)  # which may want to know how many steps there will be

    def __init__(self, train: int | None = None, valid: int | None = None) -> None:
        if train is None and valid is None:
            raise TypeError("LimitBatches(): give train=, valid=, or both: a number of batches")
        for name, limit in (("train", train), ("valid", valid)):
            if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
                raise TypeError(f"LimitBatches({name}={limit!r}): allowed: an int, from 1")
            if limit is not None and limit < 1:
                raise ValueError(f"LimitBatches({name}={limit}): allowed: an int, from 1")
        self.train = train
        self.valid = valid

    def within_fit(self, trainer: Any, state: TrainState) -> Iterator[None]:
        before = state.batches_per_epoch
        if self.train is not None:
            state.batches_per_epoch = self.train if before is None else min(before, self.train)
        try:
            yield
        finally:
            state.batches_per_epoch = before

    def begin_validate(self, trainer: Any, state: TrainState) -> None:
        if self.valid is None or state.job != "fit" or state.valid_loader is None:
            return
        state.n_batches = min(self.valid, _length(state.valid_loader, self.valid))
        state.batches = islice(state.valid_loader, self.valid)


def _length(loader: Any, unknown: int) -> int:
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return unknown

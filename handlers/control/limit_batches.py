"""Short epochs."""

from __future__ import annotations

from collections.abc import Iterator

from ...events import TrainerProtocol, TrainState


class LimitBatches:
    """Ends each training, and each validation of a fit, after some batches.

    The passes end as if the loader had no more to give. Training begins its loader anew in each
    epoch, unless the loader is an iterator, which goes on where it was. `validate()` and
    `predict()` read all that they are given.

    Signals: begin_fit, after_fit
    Writes: batches_per_epoch, batches_per_validation
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

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        before = state.batches_per_epoch, state.batches_per_validation
        state.batches_per_epoch = _least(state.batches_per_epoch, self.train)
        state.batches_per_validation = _least(state.batches_per_validation, self.valid)
        try:
            yield
        finally:
            state.batches_per_epoch, state.batches_per_validation = before


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)

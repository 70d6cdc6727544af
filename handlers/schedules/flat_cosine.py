"""A cosine schedule after a constant part."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler

from ._planned_schedule import PlannedSchedule, cosine_after, steps_in_share


class FlatCosine(PlannedSchedule):
    """Keeps the learning rate for most of the fit, then lowers it along a cosine.

    Uses torch's `ConstantLR` and `CosineAnnealingLR`, by the fit's position in the plan: a
    cancelled batch does not delay the schedule, and a skipped epoch counts as passed. When the fit
    closes, the optimizer gets its old rates again.

    Signals: begin_fit, begin_batch, after_fit
    Reads: optimizer, epoch, n_epochs, batch_index, batches_per_epoch, train_loader, limits
    Writes: the learning rates of the optimizer
    Raises: ValueError, when the end of the fit is not known
    Cost: no sync, if the learning rates are floats
    Does not: work in a fit whose end is not known, or move momenta
    Source: Mikhail Grankin, `fit_flat_cos` of fastai, 2019

    Args:
        flat: share of the fit's steps, from 0 to below 1, in which the rate stays.
        min_lr: the rate to which the cosine falls.
        of: name of the optimizer, of a trainer with several; None: the only one.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    def __init__(self, flat: float = 0.75, min_lr: float = 0.0, *, of: str | None = None) -> None:
        super().__init__(of)
        if not 0 <= flat < 1:
            raise ValueError(f"FlatCosine(flat={flat}): allowed: a share from 0 to below 1")
        if not min_lr >= 0:
            raise ValueError(f"FlatCosine(min_lr={min_lr}): allowed: a number from 0")
        self.flat = flat
        self.min_lr = min_lr

    def _make_scheduler(self, optimizer: Optimizer, total: int) -> LRScheduler:
        steps = steps_in_share(self.flat, total)
        flat = ConstantLR(optimizer, factor=1.0, total_iters=steps) if steps else None
        return cosine_after(flat, steps, optimizer, total, self.min_lr)

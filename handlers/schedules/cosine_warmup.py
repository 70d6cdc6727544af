"""A cosine schedule after a linear warm-up."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler

from ._planned_schedule import PlannedSchedule, cosine_after, steps_in_share


class CosineWarmup(PlannedSchedule):
    """Raises the learning rate linearly to the optimizer's own, then lowers it along a cosine.

    Uses torch's `LinearLR` and `CosineAnnealingLR`, by the fit's position in the plan: a cancelled
    batch does not delay the schedule, and a skipped epoch counts as passed. When the fit closes,
    the optimizer gets its old rates again.

    Signals: begin_fit, begin_batch, after_fit
    Reads: optimizer, epoch, n_epochs, batch_index, batches_per_epoch, train_loader, limits
    Writes: the learning rates of the optimizer
    Raises: ValueError, when the end of the fit is not known
    Cost: no sync, if the learning rates are floats
    Does not: work in a fit whose end is not known, or restart the cosine
    Source: Priya Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017;
        Ilya Loshchilov, Frank Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016

    Args:
        warmup: share of the fit's steps, from 0 to below 1, in which the rate rises.
        start_factor: the first rate, as a share of the optimizer's own, above 0.
        min_lr: the rate to which the cosine falls.
        of: name of the optimizer, of a trainer with several; None: the only one.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    def __init__(
        self,
        warmup: float = 0.05,
        start_factor: float = 0.01,
        min_lr: float = 0.0,
        *,
        of: str | None = None,
    ) -> None:
        super().__init__(of)
        if not 0 <= warmup < 1:
            raise ValueError(f"CosineWarmup(warmup={warmup}): allowed: a share from 0 to below 1")
        if not 0 < start_factor <= 1:
            raise ValueError(
                f"CosineWarmup(start_factor={start_factor}): allowed: a share above 0, up to 1"
            )
        if not min_lr >= 0:
            raise ValueError(f"CosineWarmup(min_lr={min_lr}): allowed: a number from 0")
        self.warmup = warmup
        self.start_factor = start_factor
        self.min_lr = min_lr

    def _make_scheduler(self, optimizer: Optimizer, total: int) -> LRScheduler:
        steps = steps_in_share(self.warmup, total)
        rising = LinearLR(optimizer, self.start_factor, total_iters=steps) if steps else None
        return cosine_after(rising, steps, optimizer, total, self.min_lr)

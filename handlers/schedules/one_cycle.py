"""The one-cycle learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from ._planned_schedule import PlannedSchedule


class OneCycle(PlannedSchedule):
    """Raises the learning rate to its maximum and lowers it to almost zero, over one fit.

    Momentum (the first beta of Adam and similar optimizers) moves the opposite way, if the
    optimizer has it. Uses `torch.optim.lr_scheduler.OneCycleLR`, by the fit's position in the plan:
    a cancelled batch does not delay the schedule, and a skipped epoch counts as passed. When the
    fit closes, the optimizer gets its old rates and momenta again.

    Signals: begin_fit, begin_batch, after_fit
    Reads: optimizer, epoch, n_epochs, batch_index, batches_per_epoch, train_loader, limits
    Writes: the learning rates and momenta of the optimizer
    Raises: ValueError, when the end of the fit is not known
    Cost: no sync, if the learning rates are floats
    Does not: work in a fit whose end is not known, or repeat the cycle
    Source: Leslie N. Smith, Nicholay Topin, "Super-Convergence: Very Fast Training of Neural
        Networks Using Large Learning Rates", 2018

    Args:
        max_lr: the highest rate, or one for each parameter group; None: the rates that the groups
            have when the fit begins.
        warmup: share of the fit's steps, between 0 and 1, in which the rate rises.
        start_divisor: the first rate is the highest one divided by this.
        end_divisor: the last rate is the first one divided by this.
        momentum: the lowest and the highest momentum; None leaves it unchanged.
        of: name of the optimizer, of a trainer with several; None: the only one.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    def __init__(
        self,
        max_lr: float | Sequence[float] | None = None,
        warmup: float = 0.3,
        start_divisor: float = 25.0,
        end_divisor: float = 1e4,
        momentum: tuple[float, float] | None = (0.85, 0.95),
        *,
        of: str | None = None,
    ) -> None:
        super().__init__(of)
        max_lrs = max_lr if isinstance(max_lr, Sequence) else [max_lr]
        if not all(lr is None or lr > 0 for lr in max_lrs):
            raise ValueError(f"OneCycle(max_lr={max_lr}): allowed: numbers above 0, or None")
        if not 0 < warmup < 1:
            raise ValueError(f"OneCycle(warmup={warmup}): allowed: a share between 0 and 1")
        for name, number in (("start_divisor", start_divisor), ("end_divisor", end_divisor)):
            if not number > 0:
                raise ValueError(f"OneCycle({name}={number}): allowed: a number above 0")
        if momentum is not None and not 0 <= momentum[0] <= momentum[1] < 1:
            raise ValueError(
                f"OneCycle(momentum={momentum}): allowed: (lowest, highest) from 0 to below 1"
            )
        self.max_lr = max_lr
        self.warmup = warmup
        self.start_divisor = start_divisor
        self.end_divisor = end_divisor
        self.momentum = momentum
        if momentum is not None:
            self.options = ("lr", "momentum", "betas")

    def _make_scheduler(self, optimizer: Optimizer, total: int) -> LRScheduler:
        low, high = self.momentum or (0.0, 0.0)
        has_momentum = not optimizer.defaults.keys().isdisjoint(("momentum", "betas"))
        return OneCycleLR(
            optimizer,
            self._max_lrs(optimizer),
            total_steps=total,
            pct_start=self._warmup_share(total),
            div_factor=self.start_divisor,
            final_div_factor=self.end_divisor,
            cycle_momentum=self.momentum is not None and has_momentum,
            base_momentum=low,
            max_momentum=high,
        )

    def _max_lrs(self, optimizer: Optimizer) -> float | list[float]:
        groups = optimizer.param_groups
        if self.max_lr is None:
            return [float(group["lr"]) for group in groups]
        if not isinstance(self.max_lr, Sequence):
            return self.max_lr
        if len(self.max_lr) != len(groups):
            raise ValueError(
                f"OneCycle has {len(self.max_lr)} values of max_lr, and the optimizer "
                f"{len(groups)} parameter groups; give one number, or one for each group"
            )
        return list(self.max_lr)

    def _warmup_share(self, total: int) -> float:
        """The warm-up share; slightly more if it is exactly one step: torch divides by zero."""
        share = float(self.warmup)
        return math.nextafter(share, 1) if share * total == 1 else share

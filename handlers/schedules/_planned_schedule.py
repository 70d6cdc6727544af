"""Schedules that are planned over the whole fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, SequentialLR

from ...events import TrainerProtocol, TrainState
from .._stateful import SavedScheduler
from ..optimization._optimizer_parameters import options_restored
from ._step_plan import PLAN_WRITERS, StepPlan


class PlannedSchedule(SavedScheduler, ABC):
    """Keeps a scheduler of torch, made anew for each fit, at the place where the fit is."""

    saved = ("_moves",)

    runs_after = PLAN_WRITERS

    def __init__(self) -> None:
        self.scheduler: LRScheduler | None = None
        self._plan: StepPlan | None = None
        self._moves = 0
        self._last = 0

    @abstractmethod
    def _made(self, optimizer: Optimizer, total: int) -> LRScheduler:
        """The scheduler of a fit of `total` steps, at the first of them."""

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        assert state.optimizer is not None
        self._plan = StepPlan(state, type(self).__name__)
        self.total = self._plan.total(state)
        with options_restored(state.optimizer):
            self.scheduler = self._made(state.optimizer, self.total)
            self._moves, self._last = 0, self.total - 1
            # torch warns of a schedule that moves before the first update; this one has to where
            # the first batches are cancelled
            state.optimizer._opt_called = True  # type: ignore[attr-defined]
            try:
                yield
            finally:
                self.scheduler = self._plan = None

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.scheduler is None or self._plan is None or not state.training:
            return
        for _ in range(self._moves, min(self._plan.done(state), self._last)):
            self.scheduler.step()
            self._moves += 1


def before_cosine(
    first: LRScheduler | None, steps: int, optimizer: Optimizer, total: int, min_lr: float
) -> LRScheduler:
    """`first` for some steps, if there is one, and a cosine down to `min_lr` after them."""
    cosine = CosineAnnealingLR(optimizer, T_max=total - steps, eta_min=min_lr)
    return SequentialLR(optimizer, [first, cosine], [steps]) if first else cosine


def steps_of(share: float, total: int) -> int:
    """The number of steps in a share of all, such that at least one is left."""
    return min(round(share * total), total - 1)

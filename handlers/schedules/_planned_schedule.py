"""Base class of schedules that are planned over the whole fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, SequentialLR

from ...events import TrainerProtocol, TrainState
from .._named_target import checked_name, optimizer_of
from .._stateful import SchedulerHandler
from .._torch_internals import mark_stepped
from ..optimization._optimizer_parameters import preserve_options
from ._option_writer import OptionWriter
from ._step_plan import PLAN_READS, PLAN_WRITERS, StepPlan


class PlannedSchedule(OptionWriter, SchedulerHandler, ABC):
    """Makes a torch scheduler for each fit, and keeps it at the fit's position in the plan."""

    reads = PLAN_READS

    saved = ("_moves",)

    never_cancels = True
    runs_after = PLAN_WRITERS

    def __init__(self, of: str | None) -> None:
        self.of = checked_name(type(self).__name__, of)
        self.scheduler: LRScheduler | None = None
        self._plan: StepPlan | None = None
        self._moves = 0

    @abstractmethod
    def _make_scheduler(self, optimizer: Optimizer, total: int) -> LRScheduler:
        """Make the scheduler for a fit of `total` steps, positioned at the first step."""

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        optimizer = optimizer_of(state, self.of)
        assert optimizer is not None
        self._plan = StepPlan(state, type(self).__name__, self.of)
        self.total = self._plan.total
        with preserve_options(optimizer):
            self.scheduler = self._make_scheduler(optimizer, self.total)
            self._moves = 0
            mark_stepped(optimizer)  # a cancelled first batch moves the schedule, too
            try:
                yield
            finally:
                self.scheduler = self._plan = None

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.scheduler is None or self._plan is None or not state.training:
            return
        for _ in range(self._moves, self._plan.position(state)):
            self.scheduler.step()
            self._moves += 1


def cosine_after(
    first: LRScheduler | None, steps: int, optimizer: Optimizer, total: int, min_lr: float
) -> LRScheduler:
    """Make a cosine down to `min_lr`, after `first` for `steps` steps if `first` is given."""
    cosine = CosineAnnealingLR(optimizer, T_max=total - steps, eta_min=min_lr)
    return SequentialLR(optimizer, [first, cosine], [steps]) if first else cosine


def steps_in_share(share: float, total: int) -> int:
    """The number of steps in a share of `total`; at least one step is left."""
    return min(round(share * total), total - 1)

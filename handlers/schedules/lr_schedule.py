"""Any learning-rate scheduler of torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ...events import TrainerProtocol, TrainState
from .._named_target import checked_name, is_own_update, optimizer_of
from .._stateful import SchedulerHandler
from ..optimization._optimizer_parameters import preserve_options
from ._option_writer import OptionWriter
from ._step_plan import PLAN_WRITERS, StepPlan, told_epochs

Factory = Callable[..., LRScheduler]


class LRSchedule(OptionWriter, SchedulerHandler):
    """Steps any learning-rate scheduler of torch, with a new scheduler for each fit.

    The scheduler is stepped only after an update was made: not after a cancelled or an accumulated
    step, nor after an epoch without updates. When the fit closes, the optimizer gets its old rates
    (and momenta) again, so that the next fit starts with the same ones. A scheduler that was made
    for a total is never stepped more often; where the fit ends elsewhere than planned (TimeLimit,
    TokenLimit, a loader that tells a wrong length), it follows the progress of the fit.

    Signals: begin_fit, begin_batch, after_step, after_epoch, after_fit
    Reads: optimizer, step, n_epochs, batches_per_epoch, train_loader
    Writes: the learning rates of the optimizer, and momenta if the scheduler moves them
    Cost: no sync, if the learning rates are floats
    Does not: step after a cancelled or an accumulated step, or follow a metric

    Args:
        factory: `factory(optimizer)` returns the scheduler. A function of two arguments is called
            `factory(optimizer, total)`, with the most times that it will be stepped:
            `LRSchedule(lambda optimizer, total: OneCycleLR(optimizer, 0.1, total_steps=total))`.
        every: step it after each "step" of the optimizer, or after each "epoch".
        of: name of the optimizer, of a trainer with several; None: the only one.

    Raises:
        TypeError: `factory` is not a function of one or two arguments, or returns no scheduler;
            `of` is no name.
        ValueError: `every` has another value; the factory takes the total, and the end of the fit
            is not known; the scheduler is for another optimizer.
    """

    written_at = ("begin_fit", "after_step", "after_epoch", "after_fit")
    reads = ("optimizer", "step", "n_epochs", "batches_per_epoch", "train_loader")

    saved = ("_step", "_is_due", "_moves")

    never_cancels = True
    runs_after = PLAN_WRITERS

    def __init__(
        self,
        factory: Factory,
        every: Literal["step", "epoch"] = "step",
        *,
        of: str | None = None,
    ) -> None:
        if every not in ("step", "epoch"):
            raise ValueError(f"LRSchedule(every={every!r}): allowed: 'step', 'epoch'")
        self.of = checked_name("LRSchedule", of)
        self.factory = factory
        self.every = every
        self.needs = ("within_fit", "after_step", *(["after_epoch"] if every == "epoch" else []))
        self.scheduler: LRScheduler | None = None
        self._needs_total = _takes_total(factory)
        self._step = 0
        self._is_due = False
        self._moves = 0
        self._plan: StepPlan | None = None

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        optimizer = optimizer_of(state, self.of)
        assert optimizer is not None
        with preserve_options(optimizer):
            self.scheduler = self._make_scheduler(optimizer, state)
            self._step, self._is_due, self._moves = state.step, False, 0
            try:
                yield
            finally:
                self.scheduler = self._plan = None

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.every == "step" and state.training:
            self._advance(state)

    def after_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        made, self._step = state.step > self._step, state.step
        if made and is_own_update(state, self.of):
            self._is_due = True
            if self.every == "step" and self._is_counted(state):
                self._advance(state)

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.every == "epoch":
            self._advance(state)

    def _advance(self, state: TrainState) -> None:
        if self.scheduler is None or not self._is_due:
            return
        self._is_due = False
        for _ in range(self._moves, self._next_position(state)):
            self.scheduler.step()
            self._moves += 1

    def _next_position(self, state: TrainState) -> int:
        following, plan = self._moves + 1, self._plan
        if self.total is None:
            return following
        if plan is not None and not self._is_counted(state):
            if self.every == "step":
                return plan.position(state)
            following = max(following, int(plan.fraction(state) * self.total))
        return min(following, self.total)

    def _is_counted(self, state: TrainState) -> bool:
        """Whether the scheduler is stepped once for each update; else before the next batch."""
        return self._plan is None or self._plan.is_counted(state)

    def _make_scheduler(self, optimizer: Optimizer, state: TrainState) -> LRScheduler:
        self.total = self._planned_total(state) if self._needs_total else None
        scheduler = self.factory(optimizer, *([] if self.total is None else [self.total]))
        if isinstance(scheduler, ReduceLROnPlateau):
            raise _plateau_error()
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(
                f"the factory of LRSchedule returned a {type(scheduler).__name__}; expected a "
                "scheduler of torch.optim.lr_scheduler"
            )
        if scheduler.optimizer is not optimizer:
            raise ValueError(
                f"the factory of LRSchedule returned a {type(scheduler).__name__} for another "
                "optimizer than the trainer's; make it for the optimizer passed to the factory"
            )
        return scheduler

    def _planned_total(self, state: TrainState) -> int:
        """How often the scheduler will be stepped if nothing is cancelled; at least 1."""
        if self.every == "step" or state.limits:
            self._plan = StepPlan(state, "the factory of LRSchedule", self.of)
        if self._plan is None or self.every == "epoch":
            return told_epochs(state)
        return self._plan.total


def _takes_total(factory: Any) -> bool:
    """Check the factory; return whether it takes a second argument, the total."""
    if factory is ReduceLROnPlateau or isinstance(factory, ReduceLROnPlateau):
        raise _plateau_error()
    if not callable(factory) or isinstance(factory, type):
        raise TypeError(
            f"LRSchedule({factory!r}): expected a function that returns a scheduler, such as "
            "lambda optimizer: StepLR(optimizer, step_size=10)"
        )
    signature = inspect.signature(factory)
    for count in (1, 2):
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return count == 2
    raise TypeError(
        f"LRSchedule: the factory takes {signature}; expected (optimizer) or (optimizer, total)"
    )


def _plateau_error() -> TypeError:
    return TypeError(
        "LRSchedule cannot step ReduceLROnPlateau, which needs a metric; use ReduceOnPlateau"
    )

"""Gradient accumulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...events import CancelStepException, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from .._accumulation import ends_window
from .._named_target import (
    OptimizerTarget,
    checked_name,
    is_own_update,
    optimizer_of,
    refuse_closure,
)
from .._stateful import Stateful
from .._torch_internals import scale_tensors
from .._writes import Writes
from ._lookahead import LookaheadIterator
from ._optimizer_parameters import gradients

Activity = Callable[[TrainState], str]


class GradientAccumulation(OptimizerTarget, Stateful):
    """Makes one optimizer step for several batches, as if they were one batch.

    The gradient is the mean over all examples of the window of batches: batches of unequal size,
    and an incomplete last window of an epoch, are weighted by their examples. The loss must be a
    mean over the batch; if it is one over something else, such as tokens, `weight` counts those. If
    the last batch of a window is cancelled, or the pass ends inside a window, the accumulated
    gradients go into the next window; at the end of the fit they are dropped. Layers that use a
    whole batch, such as BatchNorm, see one batch at a time.

    Signals: begin_fit, begin_batch, begin_step, after_fit; wraps backward and zero_grad
    Reads: batch_size, batch_index, n_batches, batches_per_epoch
    Writes: the gradients; batches, where the loader has no length; batches_per_step, or
        batches_per_step_of
    Raises: CancelStepException for all batches except the last of a window; TypeError, ValueError
        for wrong arguments, and for a weight that is no number from 0
    Cost: no sync, also with weights that are tensors; if the loader has no length, one batch is
        fetched ahead
    Does not: let batch norm see more than one batch at a time

    Args:
        batches: number of batches in a window, from 1.
        of: name of the optimizer, of a trainer with several; None: the only one.
        weight: `weight(state)` returns what the loss of the batch is a mean over, a number from 0
            or a scalar tensor: `lambda state: (state.yb != -100).sum()` counts tokens; None: its
            examples, `batch_size`. With Distributed only None.
    """

    reads = ("batch_size", "batch_index", "n_batches", "batches_per_epoch")
    writes: ClassVar[Writes] = {
        "begin_fit": ("batches_per_step", "batches_per_step_of"),
        "begin_batch": ("batches",),
        "begin_step": ("model.gradients",),
        "after_fit": ("batches_per_step", "batches_per_step_of", "model.gradients"),
    }

    saved = ("_total", "_unit")

    runs_after = ("StepLimit", "TokenLimit")  # the last batch that they leave is seen as the last
    runs_before = ("GradientClip", "MixedPrecision", "StopOnNaN")

    def __init__(
        self,
        batches: int,
        *,
        of: str | None = None,
        weight: Callable[[TrainState], float | Tensor] | None = None,
    ) -> None:
        check_whole_number(f"GradientAccumulation(batches={batches!r})", batches, 1)
        if weight is not None and not callable(weight):
            raise TypeError(
                f"GradientAccumulation(weight={weight!r}): expected a function of the state"
            )
        self.of = checked_name("GradientAccumulation", of)
        self.batches = batches
        self.weight = weight
        self.single_process = None if weight is None else "weight=… differs from rank to rank"
        self._total: Any = 0
        self._unit: Any = 0

    def attached(self, trainer: TrainerProtocol) -> None:
        super().attached(trainer)
        refuse_closure(
            self, trainer.state, "gradients of other batches cannot be added; use larger batches"
        )

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        self._start_window()
        self._set_batches_per_step(state, self.batches)
        try:
            yield
        finally:
            optimizer = optimizer_of(state, self.of)
            if self._has_begun() and optimizer is not None:
                optimizer.zero_grad()
            self._set_batches_per_step(state, 1)
            self._start_window()

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.training and state.batches is not None and _needs_lookahead(state):
            state.batches = LookaheadIterator(state.batches, state.train_loader)

    def wrap_backward(self, backward: Activity) -> Activity:
        def weighted_backward(state: TrainState) -> str:
            if not is_own_update(state, self.of):
                return backward(state)
            loss, weight = state.loss, self._weight(state)
            if not self._has_begun():
                self._unit = _at_least_one(self.batches * weight)
            state.loss = loss * (weight / self._unit)
            try:
                trigger = backward(state)
            finally:
                state.loss = loss
            self._total = self._total + weight
            return trigger

        return weighted_backward

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not is_own_update(state, self.of):
            return
        if not ends_window(state, self.batches):
            position = state.batch_index % self.batches + 1
            raise CancelStepException(f"batch {position} of {self.batches} accumulated")
        total = self._total
        if isinstance(total, Tensor):  # its value is not read: that would wait for the device
            total = torch.where(total > 0, total, self._unit)
        elif total in (0, self._unit):
            return
        scale_tensors(gradients(state), self._unit / total)
        self._unit = total

    def wrap_zero_grad(self, zero_grad: Activity) -> Activity:
        def zero_grad_and_restart(state: TrainState) -> str:
            trigger = zero_grad(state)
            if is_own_update(state, self.of):
                self._start_window()
            return trigger

        return zero_grad_and_restart

    def _set_batches_per_step(self, state: TrainState, batches: int) -> None:
        if self.of is None:
            state.batches_per_step = batches
        else:
            state.batches_per_step_of[self.of] = batches

    def _start_window(self) -> None:
        """Start without gradients; those added are Σ weight × gradient / unit."""
        self._total = self._unit = 0

    def _has_begun(self) -> bool:
        return isinstance(self._unit, Tensor) or self._unit > 0

    def _weight(self, state: TrainState) -> Any:
        if self.weight is None:
            # equal on all ranks, as the gradients are that it scales
            return state.batch_size if state.world_size == 1 else state.global_batch_size or 1
        weight = self.weight(state)
        if isinstance(weight, Tensor) and weight.numel() == 1:
            return weight.detach().reshape(())
        if not isinstance(weight, Real) or not 0 <= weight < float("inf"):
            raise _wrong_weight(self.weight, weight)
        return weight


def _at_least_one(value: Any) -> Any:
    return value.clamp(min=1) if isinstance(value, Tensor) else max(1, value)


def _wrong_weight(function: Any, found: Any) -> Exception:
    name = getattr(function, "__name__", type(function).__name__)
    tried = f"GradientAccumulation(weight={name})"
    allowed = "a finite number from 0, or a scalar tensor"
    if isinstance(found, Real):
        return ValueError(f"{tried} returned {found}; allowed: {allowed}")
    return TypeError(f"{tried} returned a {type(found).__name__}; allowed: {allowed}")


def _needs_lookahead(state: TrainState) -> bool:
    """Whether `n_batches` does not show the last batch: it is unknown, or only an upper limit.

    An iterator with a limit continues in the next epoch, where a batch fetched ahead would be lost.
    """
    if isinstance(state.batches, LookaheadIterator) or _has_length(state.train_loader):
        return False
    return state.n_batches is None or not isinstance(state.train_loader, Iterator)


def _has_length(loader: Any) -> bool:
    try:
        len(loader)
    except (TypeError, NotImplementedError):
        return False
    return True

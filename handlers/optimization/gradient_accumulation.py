"""Gradient accumulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

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
from ._lookahead import LookaheadIterator
from ._optimizer_parameters import gradients

Activity = Callable[[TrainState], str]


class GradientAccumulation(OptimizerTarget, Stateful):
    """Makes one optimizer step for several batches, as if they were one batch.

    The gradient is the mean over all examples of the window of batches: batches of unequal size,
    and an incomplete last window of an epoch, are weighted by their examples. The loss must be a
    mean over the batch. If the last batch of a window is cancelled, or the pass ends inside a
    window, the accumulated gradients go into the next window; at the end of the fit they are
    dropped. Layers that use a whole batch, such as BatchNorm, see one batch at a time.

    Signals: begin_fit, begin_batch, begin_step, after_fit; wraps backward and zero_grad
    Reads: batch_size, batch_index, n_batches, batches_per_epoch
    Writes: the gradients; batches, where the loader has no length; batches_per_step, or
        batches_per_step_of
    Raises: CancelStepException for all batches except the last of a window; TypeError, ValueError
        for wrong arguments
    Cost: no sync; if the loader has no length, one batch is fetched ahead

    Args:
        batches: number of batches in a window, from 1.
        of: name of the optimizer, of a trainer with several; None: the only one.
    """

    saved = ("_examples", "_unit")

    runs_before = ("GradientClip", "MixedPrecision", "StopOnNaN")

    def __init__(self, batches: int, *, of: str | None = None) -> None:
        check_whole_number(f"GradientAccumulation(batches={batches!r})", batches, 1)
        self.of = checked_name("GradientAccumulation", of)
        self.batches = batches
        self._examples = 0
        self._unit = 0

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
            if self._examples and optimizer is not None:
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
            loss = state.loss
            if not self._examples:
                self._unit = max(1, self.batches * state.batch_size)
            state.loss = loss * (state.batch_size / self._unit)
            try:
                trigger = backward(state)
            finally:
                state.loss = loss
            self._examples += state.batch_size
            return trigger

        return weighted_backward

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not is_own_update(state, self.of):
            return
        if not ends_window(state, self.batches):
            position = state.batch_index % self.batches + 1
            raise CancelStepException(f"batch {position} of {self.batches} accumulated")
        if self._examples not in (0, self._unit):
            scale_tensors(gradients(state), self._unit / self._examples)
            self._unit = self._examples

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
        """Start without gradients; those added are Σ examples × gradient / unit."""
        self._examples = self._unit = 0


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

"""Large batches in several parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from ...events import CancelStepException, TrainerProtocol, TrainState
from .._stateful import Saved
from ._lookahead import LookAhead
from ._optimizer_parameters import gradients

Activity = Callable[[TrainState], str]


class GradientAccumulation(Saved):
    """Makes one optimizer step for several batches, as if they were one batch.

    The gradient is the mean over all examples of the window: batches of unequal size, and an
    incomplete last window of an epoch, count by their examples. The loss must be a mean over the
    batch. If the last batch of a window is cancelled, or the pass ends inside a window, what has
    been accumulated goes into the next one; what is left at the end of the fit is dropped. Layers
    that look at a whole batch, such as BatchNorm, still see the parts.

    Signals: begin_fit, begin_batch, begin_step, after_fit; wraps backward and zero_grad
    Reads: batch_size, batch_index, n_batches, batches_per_epoch
    Writes: the gradients; batches, where the loader has no length; batches_per_step
    Raises: CancelStepException at all batches but the last of a window; wrong arguments at once
    Cost: no sync; where the loader has no length, a batch is fetched before the step of the last

    Args:
        batches: in a window, from 1.
    """

    saved = ("_examples", "_unit")

    runs_before = ("GradientClip", "MixedPrecision", "StopOnNaN")

    def __init__(self, batches: int) -> None:
        if isinstance(batches, bool) or not isinstance(batches, int):
            raise TypeError(f"GradientAccumulation(batches={batches!r}): allowed: an int, from 1")
        if batches < 1:
            raise ValueError(f"GradientAccumulation(batches={batches}): allowed: an int, from 1")
        self.batches = batches
        self._examples = 0
        self._unit = 0

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        self._forget()
        state.batches_per_step = self.batches
        try:
            yield
        finally:
            if self._examples and state.optimizer is not None:
                state.optimizer.zero_grad()
            state.batches_per_step = 1
            self._forget()

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.training and state.batches is not None and _may_end_unannounced(state):
            state.batches = LookAhead(state.batches, state.train_loader)

    def wrap_backward(self, backward: Activity) -> Activity:
        def weighted(state: TrainState) -> str:
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

        return weighted

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        place = state.batch_index % self.batches + 1
        if place < self.batches and not _is_last(state):
            raise CancelStepException(f"batch {place} of {self.batches} accumulated")
        if self._examples not in (0, self._unit):
            torch._foreach_mul_(gradients(state), self._unit / self._examples)
            self._unit = self._examples

    def wrap_zero_grad(self, zero_grad: Activity) -> Activity:
        def forgetting(state: TrainState) -> str:
            trigger = zero_grad(state)
            self._forget()
            return trigger

        return forgetting

    def _forget(self) -> None:
        """There are no gradients; those that come are Σ examples × gradient / unit."""
        self._examples = self._unit = 0


def _may_end_unannounced(state: TrainState) -> bool:
    """Whether `n_batches` does not tell the last batch: it is unknown, or no more than a limit.

    An iterator with a limit goes on in the next epoch, where a batch fetched ahead would be lost.
    """
    if isinstance(state.batches, LookAhead) or _has_length(state.train_loader):
        return False
    return state.n_batches is None or not isinstance(state.train_loader, Iterator)


def _has_length(loader: Any) -> bool:
    try:
        len(loader)
    except (TypeError, NotImplementedError):
        return False
    return True


def _is_last(state: TrainState) -> bool:
    if isinstance(state.batches, LookAhead):
        return state.batches.is_at_end()
    return state.batch_index + 1 == state.n_batches

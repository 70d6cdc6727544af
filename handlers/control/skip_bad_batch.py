"""Training on when a batch is bad."""

from __future__ import annotations

from math import inf
from typing import Any

import torch
from torch.nn.utils import get_total_norm

from ...events import CancelBatchException, CancelFitException, TrainerProtocol, TrainState
from .._stateful import Saved
from ..optimization._optimizer_parameters import gradients


class SkipBadBatch(Saved):
    """Cancels a training batch whose loss or gradients are NaN or infinite, as if it never came.

    A bad loss is not differentiated; bad gradients are dropped, with all that the same step has
    accumulated. The model's buffers, such as batch norm's statistics, are put back. Of too many bad
    batches the fit is cancelled: the weights are finite, those of the last good step. Gradients
    that overflow float16 are for MixedPrecision, and no bad batch.

    Signals: begin_fit, begin_batch, begin_backward, begin_step, after_batch
    Reads: loss, model, optimizer, training
    Writes: the gradients and the model's buffers, if they are bad
    Raises: CancelBatchException; CancelFitException when it has been too many; wrong arguments at
        once
    Cost: a device sync a batch for the loss, and one an optimizer step for the gradients; a copy of
        the model's buffers each batch

    Args:
        in_a_row: so many bad batches in a row are skipped, from 0; the next one ends the fit.
        in_all: so many are skipped in one fit, from 0; None: any number.

    Attributes:
        skipped: batches skipped in this fit.
    """

    saved = ("skipped", "_in_a_row")

    runs_after = ("GradientAccumulation", "MixedPrecision")
    runs_before = ("GradientClip", "StopOnNaN")

    def __init__(self, in_a_row: int = 10, in_all: int | None = None) -> None:
        for name, number in (("in_a_row", in_a_row), ("in_all", in_all)):
            if number is not None:
                _check(name, number)
        self.in_a_row = in_a_row
        self.in_all = in_all
        self.skipped = 0
        self._in_a_row = {"loss": 0, "gradients": 0}
        self._buffers: list[tuple[torch.Tensor, torch.Tensor]] = []

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self.skipped = 0
        self._in_a_row = {"loss": 0, "gradients": 0}

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.training:
            self._buffers = [(buffer, buffer.clone()) for buffer in state.model.buffers()]

    def begin_backward(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._judge("loss", torch.as_tensor(state.loss).detach().isfinite().all(), state)

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        # the greatest element: a 2-norm of finite gradients can overflow
        greatest = get_total_norm(gradients(state), norm_type=inf)
        self._judge("gradients", greatest.isfinite(), state)

    def detached(self, trainer: TrainerProtocol) -> None:
        self._buffers = []

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._buffers = []

    def _judge(self, what: str, finite: torch.Tensor, state: TrainState) -> None:
        if finite:
            self._in_a_row[what] = 0
            return
        self._in_a_row[what] += 1
        self._undo(what, state)
        bad = f"non-finite {what} in epoch {state.epoch}, batch {state.batch_index}"
        self._spend("in a row", self._in_a_row[what], self.in_a_row, bad)
        self._spend("in this fit", self.skipped + 1, self.in_all, bad)
        self.skipped += 1
        raise CancelBatchException(bad)

    def _spend(self, where: str, number: int, allowed: int | None, bad: str) -> None:
        if allowed is not None and number > allowed:
            raise CancelFitException(f"{bad}; bad batches {where}: {number}, allowed: {allowed}")

    def _undo(self, what: str, state: TrainState) -> None:
        for buffer, before in self._buffers:
            buffer.copy_(before)
        if what == "gradients" and state.optimizer is not None:
            state.optimizer.zero_grad()


def _check(name: str, number: Any) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"SkipBadBatch({name}={number!r}): allowed: an int, from 0")
    if number < 0:
        raise ValueError(f"SkipBadBatch({name}={number}): allowed: an int, from 0")

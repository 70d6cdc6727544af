"""Skip batches whose loss or gradients are not finite."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.parameter import is_lazy

from ...events import CancelBatchException, CancelFitException, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.tensor_copy import copy_values
from .._copying import LeftOut
from .._named_target import check_target, checked_name, is_own_update, run_modules
from .._stateful import Stateful
from .._torch_internals import BatchOrInstanceNorm
from .._writes import Writes
from ..optimization._optimizer_parameters import largest_gradient


class SkipBadBatch(Stateful):
    """Cancels a training batch whose loss or gradients are NaN or infinite, and undoes its effects.

    A bad loss is not differentiated. Bad gradients are set to zero, with everything that the same
    step has accumulated. The buffers of all models and losses, such as batch norm's statistics, are
    restored. After too many bad batches the fit is cancelled: the weights are finite, those of the
    last good step. With several optimizers, bad batches in a row are counted for each.
    MixedPrecision handles gradients that overflow float16; they do not count as a bad batch.

    Signals: begin_fit, begin_batch, begin_backward, begin_step, after_batch
    Reads: loss, model, optimizer, training
    Writes: the gradients of the model, and its buffers, after a bad batch
    Raises: CancelBatchException; CancelFitException after too many; bad arguments in `__init__`
    Cost: a device sync a batch for the loss, and one an optimizer step for the gradients; a copy of
        the modules' buffers each batch
    Does not: go back to earlier weights, or judge losses that are finite

    Args:
        in_a_row: most bad batches to skip in a row, from 0; one more cancels the fit.
        in_all: most bad batches to skip in one fit, from 0; None: any number.
        of: name of the only optimizer whose losses and gradients are checked; None: those of all.

    Attributes:
        skipped: batches skipped in this fit.
    """

    reads = ("loss", "model", "optimizer", "training")
    writes: ClassVar[Writes] = {
        "begin_backward": ("model.weights",),
        "begin_step": ("model.weights",),
    }

    saved = ("skipped", "_in_a_row")
    left_out: ClassVar[LeftOut] = {"_buffers": list}

    runs_after = ("GradientAccumulation", "MixedPrecision")
    runs_before = ("GradientClip", "StopOnNaN")

    def __init__(
        self, in_a_row: int = 10, in_all: int | None = None, *, of: str | None = None
    ) -> None:
        for name, number in (("in_a_row", in_a_row), ("in_all", in_all)):
            if number is not None:
                check_whole_number(f"SkipBadBatch({name}={number!r})", number, least=0)
        self.of = checked_name("SkipBadBatch", of)
        self.in_a_row = in_a_row
        self.in_all = in_all
        self.skipped = 0
        self._in_a_row = {"loss": 0, "gradients": 0}
        self._buffers: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def attached(self, trainer: TrainerProtocol) -> None:
        check_target(self, trainer, needed=False)

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self.skipped = 0
        self._in_a_row = {"loss": 0, "gradients": 0}

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.training:
            buffers = [b for module in run_modules(state) for b in module.buffers()]
            self._buffers = [(b, None if is_lazy(b) else b.clone()) for b in buffers]

    def begin_backward(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if is_own_update(state, self.of):
            self._skip_unless(torch.as_tensor(state.loss).detach().isfinite().all(), "loss", state)

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not is_own_update(state, self.of):
            return
        self._skip_unless(largest_gradient(state).isfinite(), "gradients", state)

    def detached(self, trainer: TrainerProtocol) -> None:
        self._buffers = []

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._buffers = []

    def _skip_unless(self, finite: torch.Tensor, what: str, state: TrainState) -> None:
        counted = f"{what} of {state.of}" if state.of else what
        if finite:
            self._in_a_row[counted] = 0
            return
        in_a_row = self._in_a_row[counted] = self._in_a_row.get(counted, 0) + 1
        self._restore(what, state)
        reason = f"non-finite {counted} in epoch {state.epoch + 1}, batch {state.batch_index + 1}"
        self._check_limit("in a row", in_a_row, self.in_a_row, reason)
        self._check_limit("in this fit", self.skipped + 1, self.in_all, reason)
        self.skipped += 1
        raise CancelBatchException(reason)

    def _check_limit(self, where: str, number: int, allowed: int | None, reason: str) -> None:
        if allowed is not None and number > allowed:
            raise CancelFitException(f"{reason}; bad batches {where}: {number}, allowed: {allowed}")

    def _restore(self, what: str, state: TrainState) -> None:
        for buffer, before in self._buffers:
            if before is not None:
                copy_values(buffer, before)
        self._reset_lazy_norms(state)
        if what == "gradients" and state.optimizer is not None:
            state.optimizer.zero_grad()

    def _reset_lazy_norms(self, state: TrainState) -> None:
        """Reset the statistics that this batch, the first of a lazy module, has begun."""
        begun = {id(buffer) for buffer, before in self._buffers if before is None}
        for module in [part for root in run_modules(state) for part in root.modules()]:
            is_norm = isinstance(module, BatchOrInstanceNorm)
            if is_norm and any(id(buffer) in begun for buffer in module.buffers()):
                module.reset_running_stats()  # type: ignore[operator]  # of both its classes

"""Label smoothing."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ...events import AttachError, Handler, TrainerProtocol, TrainState

Activity = Callable[[TrainState], str]


class LabelSmoothing(Handler):
    """Smooths the targets of the cross entropy in training, but not in validation.

    Sets torch's own `label_smoothing` of the trainer's `loss_fn` for each training batch; class
    weights, `ignore_index` and `reduction` are kept.

    Signals: begin_fit; wraps loss, of training batches
    Reads: loss_fn
    Writes: loss_fn, while the loss is computed
    Raises: AttachError when attached or at begin_fit: the loss_fn is not a cross entropy
    Cost: no sync
    Does not: change another loss than torch's cross entropy, or validation
    Source: Christian Szegedy, Vincent Vanhoucke, Sergey Ioffe, Jonathon Shlens, Zbigniew Wojna,
        "Rethinking the Inception Architecture for Computer Vision", 2016

    Args:
        smoothing: share of the target that is spread equally over all classes, above 0, up to 1.

    Raises:
        ValueError: `smoothing` is out of range.
    """

    reads = ("loss_fn",)

    def __init__(self, smoothing: float = 0.1) -> None:
        if not 0 < smoothing <= 1:
            raise ValueError(
                f"LabelSmoothing(smoothing={smoothing}): allowed: a number above 0, up to 1"
            )
        self.smoothing = smoothing

    def attached(self, trainer: TrainerProtocol) -> None:
        self._smooth(trainer.state.loss_fn)

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._smooth(state.loss_fn)

    def wrap_loss(self, loss: Activity) -> Activity:
        def smoothed_loss(state: TrainState) -> str:
            if not state.training:
                return loss(state)
            original = state.loss_fn
            state.loss_fn = self._smooth(original)
            try:
                return loss(state)
            finally:
                state.loss_fn = original

        return smoothed_loss

    def _smooth(self, loss_fn: Any) -> Callable[..., Any]:
        if isinstance(loss_fn, nn.CrossEntropyLoss):
            smoothed = copy.copy(loss_fn)  # another trainer may be using the original
            smoothed.label_smoothing = self.smoothing
            return smoothed
        if getattr(loss_fn, "func", loss_fn) is torch.nn.functional.cross_entropy:
            return functools.partial(loss_fn, label_smoothing=self.smoothing)
        name = getattr(loss_fn, "__name__", type(loss_fn).__name__)
        raise AttachError(
            f"LabelSmoothing cannot smooth the targets of {name}; allowed: nn.CrossEntropyLoss, "
            "torch.nn.functional.cross_entropy, or a functools.partial of it"
        )

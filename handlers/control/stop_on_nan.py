"""The guard of the weights."""

from __future__ import annotations

from math import inf

import torch
from torch.nn.utils import get_total_norm

from ...events import CancelFitException, TrainerProtocol, TrainState
from ..optimization._optimizer_parameters import gradients


class StopOnNaN:
    """Ends the fit before a step whose loss or gradients are NaN or infinite.

    With `every=1` no such gradient reaches the optimizer, so the weights stay finite; with more,
    the steps between two checks are not guarded, and what they ruin is found by the next check.
    Buffers that a forward pass updates, such as BatchNorm's statistics, are not guarded.

    Signals: begin_step
    Reads: loss, step, optimizer
    Raises: CancelFitException; wrong arguments at once
    Cost: one device sync each check: with `every=1` one an optimizer step

    Args:
        every: optimizer steps from one check to the next.
    """

    # accumulated gradients are checked once, scaled ones after they are unscaled, and all of them
    # before a norm that is not finite spreads to every element
    runs_after = ("GradientAccumulation", "MixedPrecision")
    runs_before = ("GradientClip",)

    def __init__(self, every: int = 1) -> None:
        if isinstance(every, bool) or not isinstance(every, int):
            raise TypeError(f"StopOnNaN(every={every!r}): allowed: an int, from 1")
        if every < 1:
            raise ValueError(f"StopOnNaN(every={every}): allowed: an int, from 1")
        self.every = every

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if (state.step + 1) % self.every:
            return
        loss = torch.as_tensor(state.loss).detach()
        # the greatest element: a 2-norm of finite gradients can overflow
        greatest = get_total_norm(gradients(state), norm_type=inf).to(loss.device)
        if not (loss.isfinite().all() & greatest.isfinite()):
            what = "gradients" if loss.isfinite().all() else "loss"
            raise CancelFitException(
                f"non-finite {what} in epoch {state.epoch}, batch {state.batch_index}; "
                f"the weights are those of step {state.step}"
            )

"""Stop before NaN reaches the weights."""

from __future__ import annotations

from math import inf

import torch
from torch.nn.utils import get_total_norm

from ...events import CancelFitException, TrainerProtocol, TrainState
from ...events.argument_checks import check_whole_number
from ..optimization._optimizer_parameters import gradients


class StopOnNaN:
    """Ends the fit before a step whose loss or gradients are NaN or infinite.

    With `every=1` no such gradient reaches the optimizer, so the weights stay finite. With more,
    steps between two checks may ruin the weights, which the next check reports. Buffers that a
    forward pass updates, such as BatchNorm's statistics, are not protected.

    Signals: begin_step
    Reads: loss, step, optimizer
    Raises: CancelFitException; bad arguments in `__init__`
    Cost: one device sync each check: with `every=1` one an optimizer step

    Args:
        every: optimizer steps from one check to the next.
    """

    # check accumulated gradients once, scaled gradients after unscaling, and all of them before
    # clipping spreads a norm that is not finite to every element
    runs_after = ("GradientAccumulation", "MixedPrecision")
    runs_before = ("GradientClip",)

    def __init__(self, every: int = 1) -> None:
        check_whole_number(f"StopOnNaN(every={every!r})", every, least=1)
        self.every = every

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if (state.step + 1) % self.every:
            return
        loss = torch.as_tensor(state.loss).detach()
        # the largest magnitude: a 2-norm of finite gradients can overflow
        largest = get_total_norm(gradients(state), norm_type=inf).to(loss.device)
        if not (loss.isfinite().all() & largest.isfinite()):
            what = "gradients" if loss.isfinite().all() else "loss"
            raise CancelFitException(
                f"non-finite {what} in epoch {state.epoch}, batch {state.batch_index}; "
                f"the weights are those of step {state.step}"
            )

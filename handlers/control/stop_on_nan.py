"""Stop before NaN reaches the weights."""

from __future__ import annotations

import torch

from ...events import CancelFitException, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from .._named_target import check_target, checked_name, count_step, is_own_update
from .._stateful import Stateful
from ..optimization._optimizer_parameters import largest_gradient


class StopOnNaN(Stateful):
    """Ends the fit before a step whose loss or gradients are NaN or infinite.

    With `every=1` no such gradient reaches the optimizer, so the weights stay finite. With more,
    steps between two checks may ruin the weights, which the next check reports. Buffers that a
    forward pass updates, such as BatchNorm's statistics, are not protected.

    Signals: begin_fit, begin_step
    Reads: loss, step, optimizer
    Raises: CancelFitException; bad arguments in `__init__`
    Cost: one device sync each check: with `every=1` one an optimizer step
    Does not: protect buffers, or go back to earlier weights

    Args:
        every: steps of an optimizer from one check to the next.
        of: name of the only optimizer whose steps are checked; None: those of all.
    """

    reads = ("loss", "step", "optimizer")

    saved = ("_steps",)

    # check accumulated gradients once, scaled gradients after unscaling, and all of them before
    # clipping spreads a norm that is not finite to every element
    runs_after = ("GradientAccumulation", "MixedPrecision")
    runs_before = ("GradientClip",)

    def __init__(self, every: int = 1, *, of: str | None = None) -> None:
        check_whole_number(f"StopOnNaN(every={every!r})", every, least=1)
        self.every = every
        self.of = checked_name("StopOnNaN", of)
        self._steps: dict[str, int] = {}

    def attached(self, trainer: TrainerProtocol) -> None:
        check_target(self, trainer, needed=False)

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._steps = {}

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not is_own_update(state, self.of) or (count_step(state, self._steps) + 1) % self.every:
            return
        loss = torch.as_tensor(state.loss).detach()
        largest = largest_gradient(state).to(loss.device)
        if not (loss.isfinite().all() & largest.isfinite()):
            what = "gradients" if loss.isfinite().all() else "loss"
            raise CancelFitException(
                f"non-finite {what} in epoch {state.epoch + 1}, batch {state.batch_index + 1}; "
                f"the weights are those of step {state.step}"
            )

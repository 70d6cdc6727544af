"""Automatic mixed precision."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.amp import GradScaler

from ...events import CancelStepException, TrainerProtocol, TrainState
from ..optimization._optimizer_parameters import gradients, parameters

Activity = Callable[[TrainState], str]


class MixedPrecision:
    """Runs the model and the loss in a 16-bit precision, where that is safe, and nothing else.

    `torch.float16` has a small range, so the loss is multiplied by a scale before the backward
    pass, and the gradients are divided by it again before the step. Whoever reads gradients at
    `begin_step` says `runs_after = ("MixedPrecision",)`. If they have overflowed they are dropped,
    the scale is lowered, and the step is cancelled. A second fit goes on with the scale found.

    Signals: begin_fit, begin_backward, begin_step, after_fit; wraps forward, loss and backward
    Reads: model, device, loss, optimizer
    Writes: with float16 the gradients
    Raises: CancelStepException when float16 gradients overflow; TypeError in begin_fit for a model
        whose parameters are float16 themselves; wrong arguments at once
    Cost: no sync with bfloat16; one an optimizer step with float16, as `GradScaler.step` has
    Source: Paulius Micikevicius and others, "Mixed Precision Training", 2018

    Args:
        dtype: `torch.bfloat16` or `torch.float16`.
        scaler: for float16, one with other settings than torch's own; None makes it when needed.

    Attributes:
        scaler: the scaler in use; None before the first float16 loss.
    """

    runs_after = ("GradientAccumulation",)  # all that a window has accumulated is unscaled once

    def __init__(
        self, dtype: torch.dtype = torch.bfloat16, scaler: GradScaler | None = None
    ) -> None:
        if dtype not in (torch.bfloat16, torch.float16):
            raise ValueError(
                f"MixedPrecision(dtype={dtype!r}): allowed: torch.bfloat16, torch.float16"
            )
        if scaler is not None and not isinstance(scaler, GradScaler):
            raise TypeError(f"MixedPrecision(scaler={scaler!r}): allowed: a torch.amp.GradScaler")
        if scaler is not None and dtype is torch.bfloat16:
            raise ValueError(
                "MixedPrecision(torch.bfloat16, scaler=…): bfloat16 has the range of float32, so "
                "nothing is scaled; leave the scaler out, or use torch.float16"
            )
        self.dtype = dtype
        self.scaler = scaler
        self._scaled = False

    def detached(self, trainer: TrainerProtocol) -> None:
        self._unscale(trainer.state)

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.dtype is torch.float16:
            _refuse_float16([p.dtype for p in parameters(state)])

    def state_dict(self) -> dict[str, Any]:
        scaler = self.scaler and {"device": self.scaler._device, **self.scaler.state_dict()}
        return {"scaler": scaler, "scaled": self._scaled}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._scaled = state["scaled"]
        if state["scaler"]:
            device, *_ = state["scaler"].values()
            self.scaler = self.scaler or GradScaler(device)
            self.scaler.load_state_dict(state["scaler"])

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._unscale(state)

    def wrap_forward(self, forward: Activity) -> Activity:
        return self._cast(forward)

    def wrap_loss(self, loss: Activity) -> Activity:
        return self._cast(loss)

    def begin_backward(self, trainer: TrainerProtocol, state: TrainState) -> None:
        """What a step that was cancelled has unscaled gets the scale of what is added to it."""
        if self.dtype is torch.float16 and not self._scaled:
            for gradient in gradients(state):
                one = torch.ones((), device=gradient.device)
                gradient.mul_(self._scaler(gradient).scale(one))
                self._scaled = True

    def wrap_backward(self, backward: Activity) -> Activity:
        def scaled(state: TrainState) -> str:
            loss = state.loss
            if isinstance(loss, torch.Tensor):
                state.loss = self._scaler(loss).scale(loss)
                self._scaled = True
            try:
                return backward(state)
            finally:
                state.loss = loss

        return scaled if self.dtype is torch.float16 else backward

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not self._unscale(state) and state.optimizer is not None:
            state.optimizer.zero_grad()
            raise CancelStepException("the gradients overflowed float16; the scale is lowered")

    def _cast(self, activity: Activity) -> Activity:
        def cast(state: TrainState) -> str:
            with self._autocast(state):
                return activity(state)

        return cast

    def _autocast(self, state: TrainState) -> AbstractContextManager[Any]:
        device = state.device or next((p.device for p in state.model.parameters()), None)
        kind = "cpu" if device is None else device.type
        return nullcontext() if kind == "meta" else torch.autocast(kind, self.dtype)

    def _scaler(self, tensor: torch.Tensor) -> GradScaler:
        if self.scaler is None:
            self.scaler = GradScaler(tensor.device.type)
        return self.scaler

    def _unscale(self, state: TrainState) -> bool:
        """Divide the gradients by the scale if they have it; False if they are not finite."""
        if not self._scaled or self.scaler is None or not gradients(state):
            return True
        trial = _Trial(state)
        self.scaler.step(trial)  # type: ignore[arg-type]  # all that is asked of it
        self.scaler.update()
        self._scaled = False
        return trial.stepped


class _Trial:
    """Stands for the optimizer before the scaler, and learns whether it would have stepped."""

    def __init__(self, state: TrainState) -> None:
        self.param_groups = [{"params": parameters(state)}]
        self.stepped = False

    def step(self) -> None:
        self.stepped = True


def _refuse_float16(dtypes: list[torch.dtype]) -> None:
    if torch.float16 in dtypes:
        raise TypeError(
            "MixedPrecision(torch.float16): parameters are float16 themselves, and their gradients "
            "cannot be unscaled; keep them in float32, without model.half()"
        )

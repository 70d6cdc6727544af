"""Automatic mixed precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch.amp import GradScaler

from ...events import CancelStepException, Handler, TrainerProtocol, TrainState
from .._copying import LastTrainer
from .._named_target import check_target, checked_name, is_own_update, refuse_closure
from .._torch_internals import scaler_device, unscale
from .._writes import Writes
from ..optimization._optimizer_parameters import gradients, parameters

Activity = Callable[[TrainState], str]


class MixedPrecision(Handler):
    """Runs the forward pass and the loss with `torch.autocast`, in a 16-bit precision.

    `torch.float16` has a small range, so the loss is multiplied by a scale before the backward
    pass, and the gradients are divided by it before the step. A handler that reads gradients at
    `begin_step` declares `runs_after = ("MixedPrecision",)`. If the gradients overflow, they are
    dropped, the scale is lowered, and the step is cancelled. The next fit of the same trainer
    continues with the scale.

    Signals: begin_fit, begin_backward, begin_step, after_fit; wraps forward, loss and backward
    Reads: model, device, loss, optimizer
    Writes: with float16 the gradients
    Raises: CancelStepException when float16 gradients overflow; TypeError in begin_fit for a model
        whose parameters are float16; TypeError, ValueError for wrong arguments
    Cost: no sync with bfloat16; one an optimizer step with float16, in `GradScaler.step`
    Does not: convert weights, or train a model whose parameters are float16
    Source: Paulius Micikevicius and others, "Mixed Precision Training", 2018

    Args:
        dtype: `torch.bfloat16` or `torch.float16`.
        scaler: a scaler with your own settings, for float16; None: made when needed.
        of: name of the only optimizer in whose updates it acts; None: in all of them. float16 needs
            it if there are several optimizers, since each has a scale of its own.

    Attributes:
        scaler: the scaler in use; None before the first float16 loss.
    """

    reads = ("model", "device", "loss", "optimizer")
    writes: ClassVar[Writes] = {"begin_step": ("model.gradients",)}

    runs_after = ("GradientAccumulation",)  # accumulated gradients are unscaled once

    def __init__(
        self,
        dtype: torch.dtype = torch.bfloat16,
        scaler: GradScaler | None = None,
        *,
        of: str | None = None,
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
                "nothing is scaled; omit the scaler, or use torch.float16"
            )
        self.dtype = dtype
        self.scaler = scaler
        self._given = copy.deepcopy(scaler)
        self._trainer = LastTrainer()
        self.of = checked_name("MixedPrecision", of)
        self._scaled = False

    def attached(self, trainer: TrainerProtocol) -> None:
        if self._trainer.changes_to(trainer):  # the scale belongs to the gradients of a model
            self.scaler, self._scaled = copy.deepcopy(self._given), False
        needs_name = self.dtype is torch.float16
        check_target(self, trainer, needed=needs_name)
        if self.dtype is torch.float16:
            refuse_closure(
                self, trainer.state, "float16 gradients are scaled until then; use torch.bfloat16"
            )

    def detached(self, trainer: TrainerProtocol) -> None:
        self._unscale(trainer.state)

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.dtype is torch.float16:
            _check_not_float16([p.dtype for p in parameters(state, self.of)])

    def state_dict(self) -> dict[str, Any]:
        scaler = self.scaler and {"device": scaler_device(self.scaler), **self.scaler.state_dict()}
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
        return self._with_autocast(forward)

    def wrap_loss(self, loss: Activity) -> Activity:
        return self._with_autocast(loss)

    def begin_backward(self, trainer: TrainerProtocol, state: TrainState) -> None:
        """Scale gradients again that a cancelled step has unscaled: backward adds scaled ones."""
        if self.dtype is not torch.float16 or not is_own_update(state, self.of):
            return
        if not self._scaled:
            for gradient in gradients(state):
                one = torch.ones((), device=gradient.device)
                gradient.mul_(self._get_scaler(gradient).scale(one))
                self._scaled = True

    def wrap_backward(self, backward: Activity) -> Activity:
        def scaled(state: TrainState) -> str:
            loss = state.loss
            if isinstance(loss, torch.Tensor) and is_own_update(state, self.of):
                state.loss = self._get_scaler(loss).scale(loss)
                self._scaled = True
            try:
                return backward(state)
            finally:
                state.loss = loss

        return scaled if self.dtype is torch.float16 else backward

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not is_own_update(state, self.of):
            return
        if not self._unscale(state) and state.optimizer is not None:
            state.optimizer.zero_grad()
            raise CancelStepException("the gradients overflowed float16; the scale is lowered")

    def _with_autocast(self, activity: Activity) -> Activity:
        def run(state: TrainState) -> str:
            with self._autocast(state) if is_own_update(state, self.of) else nullcontext():
                return activity(state)

        return run

    def _autocast(self, state: TrainState) -> AbstractContextManager[Any]:
        device = state.device or next((p.device for p in state.model.parameters()), None)
        device_type = "cpu" if device is None else device.type
        if device_type == "meta":
            return nullcontext()
        return torch.autocast(device_type, self.dtype)

    def _get_scaler(self, tensor: torch.Tensor) -> GradScaler:
        if self.scaler is None:
            self.scaler = GradScaler(tensor.device.type)
        return self.scaler

    def _unscale(self, state: TrainState) -> bool:
        """Divide scaled gradients by the scale; return False if they are not finite."""
        if not self._scaled or self.scaler is None or not gradients(state, self.of):
            return True
        are_finite = unscale(self.scaler, parameters(state, self.of))
        self._scaled = False
        return are_finite


def _check_not_float16(dtypes: list[torch.dtype]) -> None:
    if torch.float16 in dtypes:
        raise TypeError(
            "MixedPrecision(torch.float16): the parameters are float16, so their gradients cannot "
            "be unscaled; keep the parameters in float32, without model.half()"
        )

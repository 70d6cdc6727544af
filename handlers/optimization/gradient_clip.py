"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch.nn.utils import clip_grads_with_norm_

from ...events import TrainerProtocol, TrainState
from ...events.utils.closure_check import needs_closure
from .._copying import LeftOut, nothing
from .._named_target import OptimizerTarget, checked_name, is_own_update, optimizer_of
from .._shards import total_norm
from .._stateful import Stateful
from .._writes import Writes
from ._optimizer_parameters import dense_gradients, parameters

Activity = Callable[[TrainState], str]


class GradientClip(OptimizerTarget, Stateful):
    """Clips the gradients before each optimizer step, by their norm or by their value.

    For an optimizer that steps through a closure, such as LBFGS, those of every evaluation.

    With `max_norm` it reports after each training pass `grad_norm`, the mean of the norms before
    they were clipped; with `of="g"` it is called `grad_norm_g`.

    Signals: begin_fit, begin_step, after_train; wraps backward
    Reads: optimizer, outcome, paused
    Writes: the gradients of the parameters that the optimizer steps; metrics["grad_norm"]
    Cost: no sync a step; one a pass for the norm
    Does not: act on a norm that is not finite: `StopOnNaN` and `SkipBadBatch` do
    Source: Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent networks", 2013

    Args:
        max_norm: all gradients together are scaled down to this norm if theirs is greater.
        value: each element is clamped to [-value, value]. Give exactly one of the two limits.
        norm_type: p of the p-norm, `inf` for the greatest element.
        of: name of the optimizer, of a trainer with several; None: the only one.

    Raises:
        TypeError: both limits are given, or neither; `of` is no name.
        ValueError: a number is not above 0.
    """

    reads = ("optimizer", "outcome", "paused")
    writes: ClassVar[Writes] = {
        "begin_step": ("model.gradients",),
        "after_train": ("metrics.grad_norm",),
    }

    runs_after = ("GradientAccumulation", "MixedPrecision")
    needs = ("begin_step", "wrap_backward")
    saved = ("_norms", "_count")

    left_out: ClassVar[LeftOut] = {"_state": nothing}

    def __init__(
        self,
        max_norm: float | None = None,
        value: float | None = None,
        norm_type: float = 2.0,
        *,
        of: str | None = None,
    ) -> None:
        if (max_norm is None) == (value is None):
            raise TypeError(
                f"GradientClip(max_norm={max_norm}, value={value}): give exactly one of the two"
            )
        for name, number in (("max_norm", max_norm), ("value", value), ("norm_type", norm_type)):
            if number is not None and not number > 0:
                raise ValueError(f"GradientClip({name}={number}): allowed: a number above 0")
        self.max_norm = max_norm
        self.value = value
        self.norm_type = norm_type
        self.of = checked_name("GradientClip", of)
        self._state: TrainState | None = None
        self._norms: torch.Tensor | None = None
        self._count = 0

    def attached(self, trainer: TrainerProtocol) -> None:
        super().attached(trainer)
        self._state = trainer.state

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._norms, self._count = None, 0

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not needs_closure(state.optimizer):
            self._clip(state)

    def after_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        norms = self._norms
        if norms is not None and not norms.is_meta and state.outcome == "completed":
            name = "grad_norm" if self.of is None else f"grad_norm_{self.of}"
            state.report(**{name: float(norms / self._count)})
        if state.paused is None:
            self._norms, self._count = None, 0

    def wrap_backward(self, backward: Activity) -> Activity:
        if self._state is None or not needs_closure(optimizer_of(self._state, self.of)):
            return backward  # begin_step clips

        def clipped(state: TrainState) -> str:
            trigger = backward(state)
            if needs_closure(state.optimizer):
                self._clip(state)
            return trigger

        return clipped

    def _clip(self, state: TrainState) -> None:
        if not is_own_update(state, self.of):
            return
        with_gradient = [p for p in parameters(state) if p.grad is not None]
        if self.max_norm is not None:
            norm = total_norm(dense_gradients(with_gradient), self.norm_type)
            clip_grads_with_norm_(with_gradient, self.max_norm, norm)
            self._norms = norm if self._norms is None else norm + self._norms
            self._count += 1
        else:
            assert self.value is not None
            for parameter in with_gradient:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    parameter.grad = parameter.grad.coalesce()  # clamp the sum of a row's values
            for gradient in dense_gradients(with_gradient):
                gradient.clamp_(-self.value, self.value)

"""Optimizers whose step needs a closure, such as LBFGS: it runs the activities of the batch again.

The signals of a batch belong to its first evaluation: the activities `forward`, `loss` and
`backward` have run, with all signals, before `step` begins. Each further evaluation that the
optimizer asks for runs these three activities inside their wraps, and sends no signal: what has to
act in every evaluation wraps an activity. After the step `pred` and `loss` are those of the first
evaluation, as `optimizer.step(closure)` returns it. If an evaluation raises, an error or a cancel,
the weights are as before the step, and LBFGS has no memory; torch would leave it unusable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...events import TrainState
from ...events.utils.closure_check import needs_closure
from ..named_parts import all_optimizers
from ..statechart.compiled_table import Activity, LeafPhase
from .activities import step
from .activity_registry import Wrapper
from .retried_batch import in_live_parts

Closure: TypeAlias = Callable[[], Any]  # a scalar tensor; torch's annotation says float


def closure_wraps(
    state: TrainState, live_closure: Callable[[], Closure]
) -> tuple[tuple[str, Wrapper], ...]:
    """Wraps inside all others, which change nothing if no optimizer needs a closure.

    Args:
        live_closure: returns the closure of the live batch.
    """

    def is_needed() -> bool:
        return any(map(needs_closure, all_optimizers(state).values()))

    def wrap_backward(backward: Activity) -> Activity:
        return _backward_from_zero(backward) if is_needed() else backward

    def wrap_step(activity: Activity) -> Activity:
        if activity is not step or not is_needed():  # a step of the author's own stays as it is
            return activity
        return _step_with(live_closure)

    return (("backward", wrap_backward), ("step", wrap_step))


def live_batch_closure(state: TrainState, table: Mapping[str, LeafPhase]) -> Closure:
    """The closure of the live batch: runs the activities beside the live `step`, in their wraps.

    Raises:
        RuntimeError: no `step` is live, or the chart has no such activities beside it.
    """
    scope, is_step, _ = state.phase.partition(".step.")
    leaves = [table.get(f"{scope}.{name}") for name in ("forward", "loss", "backward.run")]
    parts = [leaf.activity for leaf in leaves if leaf is not None and leaf.activity is not None]
    if not is_step or len(parts) < len(leaves):
        raise RuntimeError(
            f"there is no closure in {state.phase}: it is made in the activity `step`, and runs "
            "the activities forward, loss and backward beside it"
        )

    def evaluate() -> Any:
        assert state.optimizer is not None
        state.optimizer.zero_grad()
        with torch.enable_grad():
            in_live_parts(parts[0], state)
            for part in parts[1:]:
                part(state)
        return state.loss

    return evaluate


def _backward_from_zero(backward: Activity) -> Activity:
    """Gradients that a cancelled step has left are dropped: they are not those of this batch."""

    def from_zero(state: TrainState) -> str:
        if state.optimizer is not None and needs_closure(state.optimizer):
            state.optimizer.zero_grad()
        return backward(state)

    return from_zero


def _step_with(live_closure: Callable[[], Closure]) -> Activity:
    def step_with_closure(state: TrainState) -> str:
        optimizer = state.optimizer
        if optimizer is None or not needs_closure(optimizer):
            return step(state)
        pred, loss = state.pred, state.loss
        try:
            if isinstance(optimizer, torch.optim.LBFGS):
                _step_lbfgs(optimizer, loss, live_closure())
            else:
                optimizer.step(live_closure())
        finally:
            state.pred, state.loss = pred, loss
        state.step += 1
        return "after_step"

    return step_with_closure


def _step_lbfgs(optimizer: torch.optim.LBFGS, loss: Tensor, closure: Closure) -> None:
    """One step of LBFGS, which begins with the present weights, so that their loss is known.

    Other optimizers may move the weights before they call the closure.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        optimizer.step(_with_known_first(loss, closure))  # type: ignore[no-untyped-call]
    except BaseException:
        optimizer.state.clear()
        with torch.no_grad():
            for parameter, weights in zip(parameters, before, strict=True):
                parameter.copy_(weights)
        raise


def _with_known_first(first: Tensor, closure: Closure) -> Closure:
    """`closure`, whose first evaluation has already been made, with the loss `first`."""
    known = [first]
    return lambda: known.pop() if known else closure()

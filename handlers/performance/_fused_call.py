"""Forward pass, loss and gradients of a batch in one compiled call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...events import TrainState
from ...events.utils.nested import leaves, map_nested
from .._torch_internals import compiled_with_gradients, has_gradient_hook, hook_tables
from ._graphed_call import GraphedCall, RngKept

ShapeKey = tuple[Any, ...]


class Computed(NamedTuple):
    """What one call computes; nothing of it belongs to a graph of autograd."""

    pred: Any
    loss: Tensor
    gradients: tuple[Tensor | None, ...]


class FusedCall:
    """The call for one model, loss and optimizer, compiled for each set of shapes.

    Args:
        backend: see `torch.compile`.
        rng_kept: see `GraphedCall`; None: the compiled call is not captured as a CUDA graph.
    """

    def __init__(self, state: TrainState, backend: Any, rng_kept: RngKept | None = None) -> None:
        self._parts = state.model, state.loss_fn, state.optimizer
        self._backend, self._rng_kept = backend, rng_kept
        self._every = _parameters(state)
        self._require = [parameter.requires_grad for parameter in self._every]
        self._parameters = [parameter for parameter in self._every if parameter.requires_grad]
        losses = [state.loss_fn] if isinstance(state.loss_fn, nn.Module) else []
        modules = [part for root in (state.model, *losses) for part in root.modules()]
        self._hooks = hook_tables(modules)
        self._is_reduced = any(isinstance(m, DistributedDataParallel) for m in modules)
        self._compiled: dict[ShapeKey, Callable[..., Any]] = {}

    def is_for(self, state: TrainState) -> bool:
        """Whether model, loss, optimizer and what is frozen are still as in this call."""
        if not self.has_parts(state):
            return False
        return [each.requires_grad for each in self._every] == self._require

    def has_parts(self, state: TrainState) -> bool:
        """Whether model, loss and optimizer are still as in this call."""
        model, loss_fn, optimizer = self._parts
        if state.model is not model or state.loss_fn is not loss_fn:
            return False
        return state.optimizer is optimizer

    def has_hooks(self) -> bool:
        """Whether a hook of a module or parameter would not be called."""
        if self._is_reduced or any(self._hooks):
            return True
        return any(map(has_gradient_hook, self._parameters))

    def is_compiled(self, key: ShapeKey) -> bool:
        """Whether batches of this shape were computed before."""
        return key in self._compiled

    def compute(self, state: TrainState, key: ShapeKey) -> Computed:
        """Compute the live batch; no field of `state` and no gradient is written."""
        if key not in self._compiled:
            call = compiled_with_gradients(_compute, self._backend)
            graphed = self._rng_kept and GraphedCall(call, self._rng_kept)
            self._compiled[key] = graphed or call
        args, kwargs = _arguments(state.xb)
        return Computed(
            *self._compiled[key](
                state.model, state.loss_fn, self._parameters, args, kwargs, state.yb
            )
        )

    def add_gradients(self, gradients: tuple[Tensor | None, ...]) -> None:
        """Add to the gradients that the parameters have, as `loss.backward()` does."""
        seen: set[int] = set()
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            if gradient is None:
                continue
            if parameter.grad is not None:
                parameter.grad.add_(gradient)
                continue
            parameter.grad = gradient
            address = gradient.data_ptr()
            if address in seen or gradient.stride() != parameter.stride():
                parameter.grad = torch.empty_like(parameter).copy_(gradient)
            seen.add(address)


def key_of(state: TrainState) -> ShapeKey | None:
    """Shapes, dtypes and devices of the live batch; None if it cannot be computed in one call."""
    if state.weight is not None:
        return None
    xb, yb = state.xb, state.yb
    parts = (xb, yb) if type(xb) is type(yb) is Tensor else leaves((xb, yb))
    key: list[Any] = []
    for part in parts:
        if isinstance(part, Tensor):
            if part.requires_grad:
                return None
            key += [tuple(part.shape), part.dtype, part.device]
        elif part is not None:
            return None
    return tuple(key)


def describe_key(key: ShapeKey) -> str:
    """The key as text: `(32, 784) float32 cpu, (32,) int64 cpu`."""
    tensors = zip(key[::3], key[1::3], key[2::3], strict=True)
    return ", ".join(
        f"{shape} {str(dtype).removeprefix('torch.')} {device}" for shape, dtype, device in tensors
    )


def _compute(
    model: Any, loss_fn: Any, parameters: Any, args: Any, kwargs: Any, yb: Any
) -> tuple[Any, Tensor, tuple[Tensor | None, ...]]:
    """The same as the activities `forward`, `loss` and `backward`; this is what is compiled."""
    pred = model(*args, **kwargs)
    if loss_fn is None:
        loss = pred["loss"] if isinstance(pred, Mapping) else pred.loss
    elif yb is None:
        loss = loss_fn(pred)
    else:
        loss = loss_fn(pred, yb)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return map_nested(Tensor.detach, pred, only=Tensor), loss.detach(), gradients


def _arguments(xb: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if type(xb) is tuple:
        return xb, {}
    if isinstance(xb, Mapping):
        return (), dict(xb)
    return (xb,), {}


def _parameters(state: TrainState) -> list[Tensor]:
    """The parameters of the model, of the loss, and of the optimizer, each once."""
    loss = state.loss_fn.parameters() if isinstance(state.loss_fn, nn.Module) else ()
    groups = () if state.optimizer is None else state.optimizer.param_groups
    of_groups = [parameter for group in groups for parameter in group["params"]]
    return list({id(p): p for p in (*state.model.parameters(), *loss, *of_groups)}.values())

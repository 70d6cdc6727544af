"""Copies of models, optimizers and handlers without the memory of their weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ...events import TrainState
from ...events.utils.nested import leaves
from ..named_parts import all_optimizers, run_modules

_PARTS = ("model", "loss_fn", "optimizer")


def without_values(state: TrainState) -> dict[int, Any]:
    """A memo for `copy.deepcopy`, by which copies of tensors of the fit are on the meta device."""
    return {id(tensor): _on_meta(tensor) for tensor in _tensors(state)}


def copied_parts(state: TrainState, memo: dict[int, Any]) -> dict[str, Any]:
    """The models, losses and optimizers, as arguments of a Trainer."""
    parts = [f"{name}s" if getattr(state, f"{name}s") else name for name in _PARTS]
    return copy.deepcopy({name: getattr(state, name) for name in parts}, memo)


def bytes_of_fit(state: TrainState) -> int | None:
    """Bytes of the weights, buffers and optimizer states after a first update; None: not known.

    Makes an update of the stand-ins, whose tensors have no values.
    """
    try:
        for optimizer in all_optimizers(state).values():
            _update(optimizer)
    except Exception:  # an optimizer that needs values, or a closure
        return None
    return sum(tensor.nbytes for tensor in {id(t): t for t in _tensors(state)}.values())


def _update(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


def _tensors(state: TrainState) -> Iterator[Tensor]:
    """All but the counters of optimizers, which they read."""
    for module in run_modules(state).values():
        yield from (t for t in (*module.parameters(), *module.buffers()) if not is_lazy(t))
    for optimizer in all_optimizers(state).values():
        yield from (t for t in leaves(list(optimizer.state.values()), Tensor) if t.dim())


def _on_meta(tensor: Tensor) -> Tensor:
    made = torch.empty_like(tensor, device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(made, tensor.requires_grad)
    return made

"""Putting back what a trial changes: the model, the optimizer, random number generators."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ...events import TrainerProtocol
from ..optimization._optimizer_parameters import options_restored


@contextmanager
def restored(
    trainer: TrainerProtocol, optimizer: Optimizer, loader: Iterable[Any]
) -> Iterator[None]:
    """Leave everything that training on `loader` changes as it is now, bit for bit.

    That is weights, buffers and gradients; the state and the options of the optimizer; the random
    numbers of Python, numpy, torch on all devices, and of the generators that the modules and the
    loader have of their own; the position of a loader that has one. Meanwhile there are no
    gradients.
    """
    model = trainer.state.model
    with ExitStack() as stack:
        if hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict"):
            stack.callback(loader.load_state_dict, loader.state_dict())
        stack.enter_context(trainer.rng_kept(loader))
        stack.enter_context(_gradients_restored(model))
        stack.enter_context(_tensors_restored(model))
        stack.enter_context(_state_restored(optimizer))
        stack.enter_context(options_restored(optimizer))
        yield


@contextmanager
def _tensors_restored(model: nn.Module) -> Iterator[None]:
    # a forward pass may put another tensor in the place of a buffer
    buffers = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    tensors = [t for t in (*model.parameters(), *model.buffers()) if _is_writable(t)]
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        for now, then in buffers:
            now.clear()
            now.update(then)
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)


@contextmanager
def _gradients_restored(model: nn.Module) -> Iterator[None]:
    before = [(parameter, parameter.grad) for parameter in model.parameters()]
    for parameter, _ in before:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient


@contextmanager
def _state_restored(optimizer: Optimizer) -> Iterator[None]:
    """Have the optimizer work on a copy of its state."""
    before = optimizer.state
    parameters = {id(p): p for group in optimizer.param_groups for p in group["params"]}
    optimizer.state = copy.deepcopy(before, parameters)
    try:
        yield
    finally:
        optimizer.state = before


def _is_writable(tensor: torch.Tensor) -> bool:
    """Whether it has an element for each place, as an expanded tensor has not."""
    return all(step or size < 2 for size, step in zip(tensor.shape, tensor.stride(), strict=True))

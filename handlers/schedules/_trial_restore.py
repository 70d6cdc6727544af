"""Restoring what a trial changes: the model, the optimizer, random number generators."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ...events import TrainerProtocol
from ...events.utils.exact_context import exact_context
from ...events.utils.tensor_copy import copy_values
from .._named_target import run_modules
from .._torch_internals import module_buffers
from ..optimization._optimizer_parameters import preserve_options


@exact_context
def preserve_training_state(
    trainer: TrainerProtocol, optimizer: Optimizer, loader: Iterable[Any]
) -> Iterator[None]:
    """Restore on exit everything that training on `loader` changes, bit for bit.

    This covers weights, buffers and gradients of the model and of the loss; the state and the
    options of the optimizer; the random number generators of Python, numpy, torch on all devices,
    and those that the modules and the loader own; the position of a loader that saves one. Inside
    the block all gradients are None.
    """
    modules = run_modules(trainer.state)
    with ExitStack() as stack:
        if hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict"):
            stack.callback(loader.load_state_dict, loader.state_dict())
        stack.enter_context(trainer.rng_kept(loader))
        for module in modules:
            stack.enter_context(_preserve_gradients(module))
            stack.enter_context(_preserve_tensors(module))
        stack.enter_context(_preserve_optimizer_state(optimizer))
        stack.enter_context(preserve_options(optimizer))
        yield


@exact_context
def _preserve_tensors(model: nn.Module) -> Iterator[None]:
    # a forward pass may replace a buffer by another tensor
    live = [module_buffers(module) for module in model.modules()]
    buffers = [(own, dict(own)) for own in live]
    tensors = [*model.parameters(), *model.buffers()]
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        for own, saved in buffers:
            own.clear()
            own.update(saved)
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                copy_values(tensor, value)


@exact_context
def _preserve_gradients(model: nn.Module) -> Iterator[None]:
    before = [(parameter, parameter.grad) for parameter in model.parameters()]
    for parameter, _ in before:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient


@exact_context
def _preserve_optimizer_state(optimizer: Optimizer) -> Iterator[None]:
    """Let the optimizer work on a copy of its state."""
    before = optimizer.state
    parameters = {id(p): p for group in optimizer.param_groups for p in group["params"]}
    optimizer.state = copy.deepcopy(before, parameters)
    try:
        yield
    finally:
        optimizer.state = before

"""Make a trainer what it was before a resume that failed."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ...events import TrainState
from ...events.utils.tensor_copy import copy_values
from ..data.loader_traits import position_keeper
from ..named_parts import all_optimizers, named_modules, run_modules
from ..randomness.rng_state import (
    generator_states,
    loader_generators,
    restore_generators,
    with_prefix,
)
from ..torch_internals import version
from .checkpointed_trainer import CheckpointedTrainer
from .loader_position import is_position_always_known
from .optimizer_state import named_parameters
from .run_generators import own_generators
from .training_state import named_handlers

Undo = Callable[[], object]


def remember(trainer: CheckpointedTrainer, loaders: Iterable[Any] = ()) -> ExitStack:
    """A stack that restores, when it is closed, everything that resuming changes.

    The fields of the state, the weights and gradients, the optimizer, the attributes of the
    handlers, the positions of `loaders`, and the random number generators. What a handler has
    changed inside another attribute than a module or a generator, as a list, is its own to undo.

    Cost: a copy of the weights in CPU memory, until the stack is closed or dropped.
    """
    state, loaders = trainer.state, list(loaders)
    generators = own_generators(named_modules(state))
    for number, loader in enumerate(loaders):
        generators += with_prefix(f"loader {number}", loader_generators(loader))
    undo = ExitStack()  # the last one is undone first
    undo.callback(restore_generators, generator_states(generators), generators)
    undo.callback(_fields_of(state))
    for loader in filter(is_position_always_known, loaders):
        keeper: Any = position_keeper(loader)
        undo.callback(keeper.load_state_dict, copy.deepcopy(keeper.state_dict()))
    for module in run_modules(state).values():
        undo.callback(_tensors_of(module))
    undo.callback(_parameters_of(state))
    for optimizer in all_optimizers(state).values():
        undo.callback(_optimizer(optimizer))
    for handler in named_handlers(trainer).values():
        undo.callback(_attributes_of(handler, state.model))
    return undo


def _fields_of(state: TrainState) -> Undo:
    before = {field.name: getattr(state, field.name) for field in fields(state)}
    content = [(kept, dict(kept)) for kept in (state.metrics, state.notes)]

    def undo() -> None:
        for name, value in before.items():
            setattr(state, name, value)
        for kept, items in content:
            kept.clear()
            dict.update(kept, items)  # reports nothing

    return undo


def _tensors_of(module: nn.Module) -> Undo:
    tensors = [*module.parameters(), *module.buffers()]
    kept = [tensor for tensor in tensors if not tensor.is_meta and not is_lazy(tensor)]
    before = [(t, version(t), t.detach().to("cpu", copy=True)) for t in kept]

    def undo() -> None:
        with torch.no_grad():
            for tensor, number, value in before:
                if version(tensor) != number:
                    copy_values(tensor, value)

    return undo


def _parameters_of(state: TrainState) -> Undo:
    before = [(p, p.grad, p.requires_grad) for p in named_parameters(state).values()]

    def undo() -> None:
        for parameter, gradient, required in before:
            if parameter.requires_grad != required:
                parameter.requires_grad_(required)
            parameter.grad = gradient

    return undo


def _optimizer(optimizer: Optimizer) -> Undo:
    """Loading replaces the state, and keeps the groups but not their content."""
    kept, groups = optimizer.state, optimizer.param_groups
    content = [(group, {**group, "params": [*group["params"]]}) for group in groups]
    tensors = [
        (value, value.detach().clone())
        for group in groups
        for value in group.values()
        if isinstance(value, Tensor)
    ]

    def undo() -> None:
        optimizer.state, optimizer.param_groups = kept, groups
        groups[:] = [group for group, _ in content]
        for group, options in content:
            group.clear()
            group.update(options)
        for value, before in tensors:
            value.copy_(before)

    return undo


def _attributes_of(handler: Any, model: nn.Module) -> Undo:
    attributes = getattr(handler, "__dict__", {})
    before = dict(attributes)
    content = [_content_of(value) for value in before.values() if value is not model]

    def undo() -> None:
        attributes.clear()
        attributes.update(before)
        for undo_content in content:
            undo_content()

    return undo


def _content_of(value: Any) -> Undo:
    """For generators and modules, whose content a handler loads in place, as EMA does."""
    if isinstance(value, torch.Generator):
        return functools.partial(value.set_state, value.get_state())
    return _tensors_of(value) if isinstance(value, nn.Module) else _nothing


def _nothing() -> None:
    pass

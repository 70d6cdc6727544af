"""The parameters and gradients of an optimizer, and the options of its groups."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch.optim import Optimizer

from ...events import TrainState
from ...events.utils.exact_context import exact_context
from .._named_target import optimizer_of
from .._shards import total_norm
from ._group_options import copy_option


def parameters(state: TrainState, of: str | None = None) -> list[torch.Tensor]:
    """The parameters of all groups of the optimizer of this name, by default of the current one."""
    optimizer = optimizer_of(state, of)
    groups = [] if optimizer is None else optimizer.param_groups
    return [parameter for group in groups for parameter in group["params"]]


def gradients(state: TrainState, of: str | None = None) -> list[torch.Tensor]:
    """The gradients that the next step of that optimizer will use."""
    return [p.grad for p in parameters(state, of) if p.grad is not None]


def dense_gradients(parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    """The gradients of `parameters`; of a sparse one its values, each row once.

    They share memory with a gradient that is dense or coalesced.
    """
    present = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return [g.coalesce().values() if g.layout is torch.sparse_coo else g for g in present]


def largest_gradient(state: TrainState) -> torch.Tensor:
    """The greatest magnitude of any element of the gradients of the current optimizer.

    A 2-norm of finite gradients can overflow.
    """
    return total_norm(dense_gradients(parameters(state)), math.inf)


@exact_context
def preserve_options(optimizer: Optimizer) -> Iterator[None]:
    """Restore the options of all parameter groups on exit; `params` is not an option."""
    before = [_options(group) for group in optimizer.param_groups]
    try:
        yield
    finally:
        for group, options in zip(optimizer.param_groups, before, strict=False):
            for name in _options(group).keys() - options.keys():
                del group[name]
            for name, value in options.items():
                if isinstance(value, torch.Tensor):
                    group[name].copy_(value)  # a captured graph may hold this tensor
                else:
                    group[name] = value


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {name: copy_option(value) for name, value in group.items() if name != "params"}

"""The parameters and gradients of an optimizer, and the options of its groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim import Optimizer

from ...events import TrainState
from .._named_target import optimizer_of
from ._group_options import copy_option


def parameters(state: TrainState, of: str | None = None) -> list[torch.Tensor]:
    """The parameters of all groups of the optimizer of this name, by default of the current one."""
    optimizer = optimizer_of(state, of)
    groups = [] if optimizer is None else optimizer.param_groups
    return [parameter for group in groups for parameter in group["params"]]


def gradients(state: TrainState, of: str | None = None) -> list[torch.Tensor]:
    """The gradients that the next step of that optimizer will use."""
    return [p.grad for p in parameters(state, of) if p.grad is not None]


@contextmanager
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

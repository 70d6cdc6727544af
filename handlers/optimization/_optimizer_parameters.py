"""What an optimizer steps, and the options that it steps with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim import Optimizer

from ...events import TrainState


def parameters(state: TrainState) -> list[torch.Tensor]:
    """All that the optimizer steps, whatever group it is in."""
    groups = [] if state.optimizer is None else state.optimizer.param_groups
    return [parameter for group in groups for parameter in group["params"]]


def gradients(state: TrainState) -> list[torch.Tensor]:
    """The gradients that the next step will use."""
    return [p.grad for p in parameters(state) if p.grad is not None]


@contextmanager
def options_restored(optimizer: Optimizer) -> Iterator[None]:
    """Leave the options of all parameter groups as they are now, but for the parameters."""
    before = [_options(group) for group in optimizer.param_groups]
    try:
        yield
    finally:
        for group, options in zip(optimizer.param_groups, before, strict=False):
            for name in _options(group).keys() - options.keys():
                del group[name]
            for name, value in options.items():
                if isinstance(value, torch.Tensor):
                    group[name].copy_(value)  # a captured graph may hold the very tensor
                else:
                    group[name] = value


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.clone() if isinstance(value, torch.Tensor) else value
        for name, value in group.items()
        if name != "params"
    }

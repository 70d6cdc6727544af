"""Save and load the state of a metric of any library.

The only file that uses a private part of torchmetrics: `Metric._update_count`.
`tests/handlers/logging/test_metric_state.py` names it if a new version has changed it.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from torch import nn

from ...events.utils.nested import map_nested


def metric_state(metric: Any) -> dict[str, Any]:
    """The state of a torchmetrics metric, of one with `state_dict`, or of a plain object."""
    parts = _torchmetrics_parts(metric)
    if parts:
        return {name: _part_state(part) for name, part in parts.items()}
    if hasattr(metric, "load_state_dict"):
        return dict(metric.state_dict())
    return dict(vars(metric))


def load_metric_state(metric: Any, state: dict[str, Any]) -> None:
    """Restore what `metric_state` returned."""
    parts = _torchmetrics_parts(metric)
    if parts:
        for name, part in parts.items():
            _load_part(part, state[name])
    elif hasattr(metric, "load_state_dict"):
        metric.load_state_dict(state)
    else:
        vars(metric).update(state)


def synchronises_itself(metric: Any) -> bool:
    """Whether `compute` of a metric sums up all ranks: one of torchmetrics does."""
    return bool(_torchmetrics_parts(metric))


def _torchmetrics_parts(metric: Any) -> dict[str, Any]:
    """A torchmetrics metric and all metrics inside it, by module name; empty for other metrics.

    Their own `state_dict` leaves out what they have accumulated, by default.
    """
    if not isinstance(metric, nn.Module):
        return {}
    return {name: part for name, part in metric.named_modules() if hasattr(part, "_update_count")}


def _part_state(part: Any) -> dict[str, Any]:
    return {"seen": dict(part.metric_state), "updates": part._update_count}


def _load_part(part: Any, state: dict[str, Any]) -> None:
    part.reset()  # forgets what it has computed
    for name, value in state["seen"].items():
        setattr(part, name, value)
    part._update_count = state["updates"]


def to_host(value: Any) -> Any:
    """A scalar as a Python float; other tensors moved to the CPU."""
    if isinstance(value, Real) or (isinstance(value, torch.Tensor) and value.numel() == 1):
        return float(value)
    return map_nested(torch.Tensor.cpu, value, only=torch.Tensor)

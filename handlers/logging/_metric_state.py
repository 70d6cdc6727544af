"""What a metric has seen so far, as data, whichever library it is of."""

from __future__ import annotations

from typing import Any

from torch import nn


def metric_state(metric: Any) -> dict[str, Any]:
    """The state of a metric of torchmetrics, of one with `state_dict`, or of a plain object."""
    parts = _torchmetrics(metric)
    if parts:
        return {name: _of_part(part) for name, part in parts.items()}
    if hasattr(metric, "load_state_dict"):
        return dict(metric.state_dict())
    return dict(vars(metric))


def load_metric_state(metric: Any, state: dict[str, Any]) -> None:
    """Have a metric go on from what `metric_state` gave."""
    parts = _torchmetrics(metric)
    if parts:
        for name, part in parts.items():
            _load_part(part, state[name])
    elif hasattr(metric, "load_state_dict"):
        metric.load_state_dict(state)
    else:
        vars(metric).update(state)


def _torchmetrics(metric: Any) -> dict[str, Any]:
    """The metrics in one of torchmetrics, which may be a collection, or have others inside.

    Their own state dict has nothing of what they have seen.
    """
    if not isinstance(metric, nn.Module):
        return {}
    return {name: part for name, part in metric.named_modules() if hasattr(part, "metric_state")}


def _of_part(part: Any) -> dict[str, Any]:
    return {"seen": dict(part.metric_state), "updates": part._update_count}


def _load_part(part: Any, state: dict[str, Any]) -> None:
    for name, value in state["seen"].items():
        setattr(part, name, value)
    part._update_count = state["updates"]

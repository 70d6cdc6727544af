"""A row of a log: the counters of a fit, and values as plain Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ...events import TrainState

Row = dict[str, Any]

RATE = "lr"
"""The first rate; others are `lr_1`, of the second parameter group, or `lr_g`, of optimizer g."""


def belongs_to_a_row(state: TrainState) -> bool:
    """Whether what is reported has a row of its own, and not that of its epoch.

    Metrics of `validate()` have one if the evaluation has a name of its own.
    """
    if state.job == "fit":
        return not state.ends_round
    return state.job == "validate" and state.evaluation != "valid"


def counters(fit: int, state: TrainState) -> Row:
    """`fit` and `epoch` (0-based), `step`, `samples`, and the learning rates of all groups."""
    counted = {"fit": fit, "epoch": state.epoch, "step": state.step, "samples": state.samples}
    return {**counted, RATE: to_python(state.lr), **dict(_other_rates(state))}


def to_python(value: Any) -> Any:
    """Tensors and arrays as numbers or lists; None for a meta tensor, which has no values."""
    if isinstance(value, torch.Tensor) and value.is_meta:
        return None
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    return value.tolist() if hasattr(value, "tolist") else value


def plain_values(metrics: Mapping[str, Any]) -> Row:
    """The metrics as plain Python values. Cost: a sync for each tensor."""
    return {name: to_python(value) for name, value in metrics.items()}


def _other_rates(state: TrainState) -> Iterator[tuple[str, Any]]:
    only = {} if state.optimizer is None else {"": state.optimizer}
    for name, optimizer in (state.optimizers or only).items():
        for number, group in enumerate(optimizer.param_groups):
            parts = [RATE, *([name] if name else []), *([str(number)] if number else [])]
            if len(parts) > 1:
                yield "_".join(parts), to_python(group.get("lr"))

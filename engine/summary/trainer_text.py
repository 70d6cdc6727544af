"""A trainer in a few words: its parts, its handlers, how far it is."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from torch.optim import Optimizer

from ...events import TrainState
from ..statechart.chart import SUPERVISED
from ..statechart.composition import Chart

_WIDTH = 88


def trainer_text(name: str, state: TrainState, chart: Chart, handlers: Collection[Any]) -> str:
    """The repr of the trainer whose class has this name; on several lines if it is long.

    Cost: no device sync.
    """
    parts = {
        "model": state.models or state.model,
        "loss_fn": state.loss_fns or state.loss_fn,
        "optimizer": state.optimizers or state.optimizer,
        "chart": chart if chart != SUPERVISED else None,
    }
    shown = [f"{part}={_part(value)}" for part, value in parts.items() if value is not None]
    attached = [_handler(handler) for handler in handlers]
    head = f"<{name} {_position(state)}:"
    listed = ", ".join(attached)
    line = f"{head} {', '.join([*shown, f'handlers=[{listed}]'])}>"
    if len(line) <= _WIDTH:
        return line
    inside = "".join(f"\n        {handler}," for handler in attached)
    lines = [head, *shown, f"handlers=[{inside}\n    ]" if attached else "handlers=[]"]
    return "\n    ".join(lines) + "\n>"


def _position(state: TrainState) -> str:
    """The phase, and how far the last fit is; epochs count from 1."""
    if state.epoch < 0:
        return state.phase
    return f"{state.phase}, epoch {state.epoch + 1} of {state.n_epochs}, step {state.step}"


def _part(value: Any) -> str:
    if isinstance(value, Chart):
        return repr(value)
    if isinstance(value, Mapping):
        named = ", ".join(f"{name}: {_part(each)}" for name, each in value.items())
        return f"{{{named}}}"
    if isinstance(value, Optimizer):
        rate = value.param_groups[0].get("lr")
        shown = f"lr={rate:.4g}" if isinstance(rate, float) else ""
        return f"{type(value).__name__}({shown})"
    return _name(value)


def _handler(handler: Any) -> str:
    """Its repr, unless that is the one that every object has."""
    has_own = any("__repr__" in vars(kind) for kind in type(handler).__mro__[:-1])
    return repr(handler) if has_own and not inspect.isroutine(handler) else _name(handler)


def _name(value: Any) -> str:
    return str(getattr(value, "__qualname__", type(value).__qualname__))

"""Handlers that remember something, and cannot save it."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Set, Sized
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ...events import Publisher, TrainState
from .checkpointed_trainer import CheckpointedTrainer
from .training_state import named_handlers, stateful

_DEEPEST = 4
_LONGEST = 1000
_ATOMS = (str, int, float, bytes, type(None))
_OTHERS = (nn.Module, nn.Parameter, Optimizer, Publisher, TrainState)
"""What a handler may point at, and what is saved without it."""


class UnsavedWarning:
    """Compares the attributes of handlers without `state_dict` with what they were.

    A handler whose attributes change while a fit runs remembers something: a fit that goes on in
    another process would find it as it was made. One that finds it again by itself says so with
    a `state_dict` that gives nothing.
    """

    def __init__(self) -> None:
        self._before: dict[int, dict[str, Any]] = {}

    def note(self, trainer: CheckpointedTrainer) -> None:
        """Remember what the handlers are like before a fit begins."""
        self._before = {id(h): _attributes(h) for h in _unable(trainer).values()}

    def warn(self, trainer: CheckpointedTrainer) -> None:
        """Name those that have changed since."""
        for name, handler in _unable(trainer).items():
            before = self._before.get(id(handler))
            if before is None:  # attached since
                continue
            now = _attributes(handler)
            changed = [key for key in now if key not in before or before[key] != now[key]]
            if changed:
                warnings.warn(
                    f"handler {name} keeps {', '.join(changed)} and cannot save it: a fit that "
                    "goes on finds it as it was made; give it state_dict() and "
                    "load_state_dict(state)",
                    stacklevel=4,
                )


def _unable(trainer: CheckpointedTrainer) -> dict[str, Any]:
    able = stateful(trainer)
    return {name: h for name, h in named_handlers(trainer).items() if name not in able}


def _attributes(handler: Any) -> dict[str, Any]:
    return {name: _mark(value) for name, value in getattr(handler, "__dict__", {}).items()}


def _mark(value: Any, depth: int = 0) -> Any:
    """Something that compares equal as long as `value` is the same, inside, too."""
    if isinstance(value, _ATOMS):
        return value if value == value else "nan"  # noqa: PLR0124
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if depth == _DEEPEST or isinstance(value, _OTHERS):
        return id(value)
    if isinstance(value, torch.Tensor):
        return id(value), value._version
    return _mark_of_parts(value, depth + 1)


def _mark_of_parts(value: Any, depth: int) -> Any:
    if isinstance(value, Set) or (isinstance(value, Sized) and len(value) > _LONGEST):
        return id(value), len(value)
    if isinstance(value, Mapping):
        return {key: _mark(part, depth) for key, part in value.items()}
    if isinstance(value, Collection):
        return [_mark(part, depth) for part in value]
    if hasattr(value, "__dict__") and not callable(value):
        return id(value), _mark(vars(value), depth)
    return id(value)

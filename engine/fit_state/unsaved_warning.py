"""Warn about handlers that keep state and cannot save it, and about optimizers of their own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Set, Sized
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ...events import Publisher, TrainState
from ...events.utils.loader_length import loader_length
from ..named_parts import all_optimizers
from ..torch_internals import version
from .checkpointed_trainer import CheckpointedTrainer
from .training_state import is_stateful, named_handlers
from .unsaved_optimizers import unsaved_optimizers

_MAX_DEPTH = 4
_MAX_LENGTH = 1000
_SCALARS = (str, int, float, bytes, type(None))
_SAVED_ELSEWHERE = (nn.Module, nn.Parameter, Optimizer, Publisher, TrainState)
"""What a handler may refer to: the trainer saves it."""


class UnsavedStateCheck:
    """Detects handlers without `state_dict` whose attributes change during a fit.

    Such a handler keeps state, which would be lost when the fit is resumed in another process. A
    handler that recomputes its state declares so with a `state_dict` that returns `{}`.

    Detects also optimizers that are not among the trainer's, in handlers without `state_dict`, in
    subscribed functions, and in activities.

    Args:
        activities: returns the functions of the activities, and their wraps.
    """

    def __init__(self, activities: Callable[[], list[Any]]) -> None:
        self._activities = activities
        self._before: dict[int, dict[str, Any]] = {}
        self._has_searched = False

    def record(self, trainer: CheckpointedTrainer) -> None:
        """Record the attributes of the handlers before a fit begins."""
        self._has_searched = False
        self._before = {id(h): _attributes(h) for h in _stateless_handlers(trainer).values()}

    def warn(self, trainer: CheckpointedTrainer) -> None:
        """Warn about the handlers whose attributes have changed since `record`."""
        recorded = _stateless_handlers(trainer) if self._before else {}
        for name, handler in recorded.items():
            before = self._before.get(id(handler))
            if before is None:  # attached later
                continue
            after = _attributes(handler)
            changed = [key for key in after if key not in before or before[key] != after[key]]
            if changed:
                warnings.warn(
                    f"handler {name} keeps {', '.join(changed)} and cannot save it: a resumed "
                    "fit starts without it; add state_dict() and load_state_dict(state)",
                    stacklevel=3,
                )
        self._warn_of_optimizers(trainer)

    def _warn_of_optimizers(self, trainer: CheckpointedTrainer) -> None:
        """Warn about optimizers, once a fit: the search takes longer than a batch."""
        if self._has_searched:
            return
        self._has_searched = True
        functions = [f for f in trainer.handlers if hasattr(f, "__name__")] + self._activities()
        saved = all_optimizers(trainer.state).values()
        found = [*unsaved_optimizers(_stateless_handlers(trainer), functions, saved)]
        if found:
            warnings.warn(
                f"not saved, as they are not among the trainer's optimizers: {', '.join(found)}; a "
                "resumed fit begins without what they remember. Give them to the trainer, "
                "Trainer(optimizers={…}), or save them in state_dict() of a handler",
                stacklevel=4,
            )


def _stateless_handlers(trainer: CheckpointedTrainer) -> dict[str, Any]:
    return {name: h for name, h in named_handlers(trainer).items() if not is_stateful(h)}


def _attributes(handler: Any) -> dict[str, Any]:
    return {name: _fingerprint(value) for name, value in getattr(handler, "__dict__", {}).items()}


def _fingerprint(value: Any, depth: int = 0) -> Any:
    """A value that compares equal as long as `value` and its content do not change."""
    if isinstance(value, _SCALARS):
        return value if value == value else "nan"  # noqa: PLR0124
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if depth == _MAX_DEPTH or isinstance(value, _SAVED_ELSEWHERE):
        return id(value)
    if isinstance(value, torch.Tensor):
        return id(value), version(value)
    return _fingerprint_of_parts(value, depth + 1)


def _fingerprint_of_parts(value: Any, depth: int) -> Any:
    if hasattr(value, "nbytes") and hasattr(value, "tobytes"):  # NumPy's, whose items are made anew
        return value.tobytes() if value.nbytes <= 8 * _MAX_LENGTH else id(value)
    length = loader_length(value) if isinstance(value, Sized) else None
    if isinstance(value, Set) or (length is not None and length > _MAX_LENGTH):
        return id(value), length
    if isinstance(value, Mapping):
        return {key: _fingerprint(part, depth) for key, part in value.items()}
    if isinstance(value, Collection):
        return [_fingerprint(part, depth) for part in value]
    if hasattr(value, "__dict__") and not callable(value):
        return id(value), _fingerprint(vars(value), depth)
    return id(value)

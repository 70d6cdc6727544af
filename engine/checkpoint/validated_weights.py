"""The weights that were validated when a checkpoint was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...events import TrainState
from ..fit_state.sharded_tensors import whole_tensors
from ..fit_state.training_state import load_module
from ..named_parts import whole_model
from .checkpoint_reader import read_stored


def validated_weights(path: str | Path) -> dict[str, Any]:
    """The state dict of the model as it was validated when a checkpoint was saved.

    Those are the weights that a metric has judged: with EMA, which validates with its average, the
    averaged ones; otherwise the trained ones, which `model.safetensors` contains.

    Args:
        path: as of `read_checkpoint`; `checkpoint.best` of a Checkpoint handler.

    Raises:
        CheckpointError: as `read_checkpoint`.
    """
    weights: dict[str, Any] = whole_tensors(_validated(path))
    return weights


def load_validated_weights(state: TrainState, path: str | Path) -> None:
    """Load them into the model. Raises: as `validated_weights`."""
    load_module(whole_model(state), "", _validated(path))


def _validated(path: str | Path) -> dict[str, Any]:
    saved = read_stored(path)
    return {**saved["model"], **saved.get("validated", {})}

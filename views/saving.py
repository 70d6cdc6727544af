"""The files of a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from ..handlers import History


def save(directory: Path, history: History, model: torch.nn.Module) -> None:
    """Write `history.csv` and the weights, `model.pt`; load these with `weights_only=True`."""
    _write(directory / "history.csv", history.to_csv)
    _write(directory / "model.pt", lambda path: torch.save(model.state_dict(), path))
    print(f"wrote {directory / 'history.csv'} and {directory / 'model.pt'}")


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """All of a file or nothing: an interrupt in between leaves the one that was there."""
    unfinished = path.with_name(f".{path.name}.part")
    write(unfinished)
    os.replace(unfinished, path)

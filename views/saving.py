"""The files of a run."""

from __future__ import annotations

from pathlib import Path

import torch

from ..handlers import History
from .output import write_whole


def save(directory: Path, history: History, model: torch.nn.Module) -> None:
    """Write `history.csv` and the weights, `model.pt`; load these with `weights_only=True`."""
    write_whole(directory / "history.csv", history.to_csv)
    write_whole(directory / "model.pt", lambda path: torch.save(model.state_dict(), path))
    print(f"wrote {directory / 'history.csv'} and {directory / 'model.pt'}")

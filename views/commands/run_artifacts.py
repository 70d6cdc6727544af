"""The files of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ...engine import Trainer
from ...handlers import History
from ..output.output_files import write_whole


def save(directory: Path, history: History, trainer: Trainer) -> None:
    """Write `history.csv`, the weights, `model.pt`, and the drawn chart, `loop.svg`.

    Load the weights with `weights_only=True`.
    """
    weights = trainer.state.model.state_dict()
    files: dict[str, Callable[[Path], object]] = {
        "history.csv": history.to_csv,
        "model.pt": lambda path: torch.save(weights, path),
        "loop.svg": lambda path: path.write_text(trainer.diagram.svg, encoding="utf-8"),
    }
    for name, write in files.items():
        write_whole(directory / name, write)
    print(f"wrote {', '.join(str(directory / name) for name in files)}")

"""Write the files of a run: history, weights, chart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from ...engine import Trainer
from ...handlers import History
from ...handlers.run_facts import run_facts
from ..output.output_files import write_atomically
from ..recordings.kept_facts import LOG_FACTS


def write_artifacts(folder: Path, history: History, trainer: Trainer) -> None:
    """Write the history, `history.csv`, the weights, `model.pt`, and the chart, `loop.svg`.

    The facts of the run are beside the history, where `trackside facts` finds them.
    `torch.load(…, weights_only=True)` can load the weights.
    """
    weights = trainer.state.model.state_dict()
    facts = json.dumps({"facts": run_facts(trainer.state)}) + "\n"
    files: dict[str, Callable[[Path], object]] = {
        "history.csv": history.to_csv,
        f"history.csv{LOG_FACTS}": lambda path: path.write_text(facts, encoding="utf-8"),
        "model.pt": lambda path: torch.save(weights, path),
        "loop.svg": lambda path: path.write_text(trainer.diagram.svg, encoding="utf-8"),
    }
    for name, write in files.items():
        write_atomically(folder / name, write)
    print(f"wrote {', '.join(str(folder / name) for name in files)}")

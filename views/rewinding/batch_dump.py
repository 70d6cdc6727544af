"""Write the live batch of a trainer, and what was computed from it, to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...engine import Trainer
from ...events.state_parts import LIVE, part_of
from ...events.utils.exception_text import first_message_line
from ...events.utils.nested import map_nested
from ..output.usage_error import UsageError

COUNTERS = ("epoch", "batch_index", "step", "samples", "phase")


def check_file(path: Path) -> None:
    """Refuse a path that cannot become a file, before anything is trained.

    Raises:
        UsageError: it is a folder, or a file is where its folder would be.
    """
    if path.is_dir():
        raise UsageError(f"cannot write {path}: that is a folder; allowed: a file, batch.pt")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise UsageError(f"cannot write {path}: {above} is a file")


def dump_batch(trainer: Trainer, path: Path) -> None:
    """Write batch, inputs, targets, prediction, loss and gradients by name, with `torch.save`.

    Raises:
        UsageError: the file cannot be written.
    """
    state = trainer.state
    content = {name: getattr(state, name) for name in COUNTERS}
    content |= {name: _detached(part_of(state, name)) for name in sorted(LIVE)}
    content["gradients"] = _detached(part_of(state, "model.gradients"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path)
    except (OSError, RuntimeError) as error:  # torch raises the latter for a path
        raise UsageError(f"cannot write {path}: {first_message_line(error)}") from None


def _detached(value: Any) -> Any:
    return map_nested(_on_cpu, value)


def _on_cpu(part: Any) -> Any:
    return part.detach().cpu().clone() if isinstance(part, torch.Tensor) else part

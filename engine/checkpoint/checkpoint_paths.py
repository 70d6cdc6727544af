"""What lies where in a folder of checkpoints.

    runs/a/step-000000000042/manifest.json       what it is, sizes, checksums; written last
                             model.safetensors   the weights
                             state.pt            the rest; torch.load, weights_only=True

A second one at the same step is `step-000000000042.2`; nothing is ever overwritten.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from .manifest import DamagedError, Manifest

WEIGHTS, REST = "model.safetensors", "state.pt"
_NAME = re.compile(r"step-\d{12}(\.\d+)?")


def is_checkpoint(path: Path) -> bool:
    """Whether it is a folder that is named like a checkpoint."""
    named = _NAME.fullmatch(path.name) is not None
    return named and path.is_dir() and not path.is_symlink()


def free_name(folder: Path, step: int) -> Path:
    """Where the next checkpoint of a step goes."""
    name = folder / f"step-{step:012}"
    number = 1
    path = name
    while path.exists():
        number += 1
        path = name.with_name(f"{name.name}.{number}")
    return path


def found(folder: Path) -> list[Path]:
    """The checkpoints in a folder, damaged ones too, by name."""
    return sorted(filter(is_checkpoint, folder.iterdir())) if folder.is_dir() else []


def readable(folder: Path) -> Iterator[tuple[Path, Manifest]]:
    """Those whose manifest is whole; of each other one a warning tells."""
    for path in found(folder):
        try:
            yield path, Manifest.read(path)
        except DamagedError as damage:
            tell(damage)


def tell(damage: DamagedError) -> None:
    """Warn of a checkpoint that is passed over."""
    warnings.warn(f"passing over a damaged checkpoint: {damage}", stacklevel=3)

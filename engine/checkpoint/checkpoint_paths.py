"""Names of the files and folders of checkpoints.

    runs/a/step-000000000042/manifest.json       description, sizes, checksums; written last
                             model.safetensors   the weights
                             state.pt            everything else; torch.load, weights_only=True
    and of several ranks, see `shard_reader`: shards.json, shard-00000.safetensors, …

A second checkpoint at the same step is `step-000000000042.2`; nothing is ever overwritten.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from .manifest import DamagedError, Manifest, TooLargeError

_CHECKPOINT_NAME = re.compile(r"step-\d{12}(\.\d+)?")


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is a folder that has the name of a checkpoint."""
    name_matches = _CHECKPOINT_NAME.fullmatch(path.name) is not None
    return name_matches and path.is_dir() and not path.is_symlink()


def unused_path(folder: Path, step: int) -> Path:
    """An unused path for a checkpoint of `step`."""
    name = folder / f"step-{step:012}"
    number = 1
    path = name
    while os.path.lexists(path):  # also a link to nowhere
        number += 1
        path = name.with_name(f"{name.name}.{number}")
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, sorted by name; also damaged ones."""
    return sorted(filter(is_checkpoint, folder.iterdir())) if folder.is_dir() else []


def readable_checkpoints(folder: Path) -> Iterator[tuple[Path, Manifest]]:
    """Checkpoints with an intact manifest; the others are skipped with a warning."""
    for path in list_checkpoints(folder):
        try:
            yield path, Manifest.read(path)
        except DamagedError as damage:
            warn_skipped(damage)


def warn_skipped(damage: DamagedError) -> None:
    """Warn about a checkpoint that is skipped: it is damaged, or too large for this machine."""
    what = "checkpoint" if isinstance(damage, TooLargeError) else "damaged checkpoint"
    warnings.warn(f"skipping a {what}: {damage}", stacklevel=3)

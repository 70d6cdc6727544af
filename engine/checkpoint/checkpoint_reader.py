"""Find and read checkpoints; their checksums are checked first.

Loading a checkpoint runs no code from it, whoever wrote it: weights are `safetensors`, everything
else is read with `weights_only=True`, with no class allowed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .checkpoint_paths import (
    STATE_FILE,
    WEIGHTS_FILE,
    is_checkpoint,
    list_checkpoints,
    readable_checkpoints,
    warn_skipped,
)
from .manifest import CheckpointError, DamagedError, Manifest
from .safetensors_writer import read_weights


class NoCheckpointError(CheckpointError):
    """A folder contains no checkpoint, not even a damaged one."""


def latest(path: str | Path) -> Path:
    """The newest intact checkpoint in a folder; damaged ones are skipped with a warning.

    Cost: reads the files of the checkpoint that it returns, to check them.

    Args:
        path: the folder; or a checkpoint, which is checked and returned.

    Raises:
        NoCheckpointError: the folder contains no checkpoint.
        CheckpointError: all checkpoints are damaged; or one is from a newer trackside.
    """
    here = Path(path)
    if is_checkpoint(here):
        Manifest.read(here).check(here)
        return here
    if not list_checkpoints(here):
        raise NoCheckpointError(f"there is no checkpoint in {here}")
    newest_first = sorted(readable_checkpoints(here), key=lambda item: item[1].serial, reverse=True)
    for checkpoint, manifest in newest_first:
        try:
            manifest.check(checkpoint)
        except DamagedError as damage:
            warn_skipped(damage)
        else:
            return checkpoint
    raise CheckpointError(f"every checkpoint in {here} is damaged; a warning describes each")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The checked state of a checkpoint, with tensors on the CPU. Runs no code from the file.

    Args:
        path: a checkpoint, or a folder of checkpoints, of which `latest` is read.

    Raises:
        CheckpointError: the folder contains no checkpoint; the checkpoint is damaged, is from a
            newer trackside, or contains something other than plain data.
    """
    here = latest(path)
    if not {WEIGHTS_FILE, STATE_FILE} <= set(Manifest.read(here).files):
        raise DamagedError(f"{here}: its manifest does not list {WEIGHTS_FILE} and {STATE_FILE}")
    try:
        return _read(here)
    except Exception as error:  # a forged file can make a parser raise anything
        raise CheckpointError(
            f"{here}: refused before any of its code ran: its content is not that of a trackside "
            f"checkpoint; reading raised {type(error).__name__}"
        ) from error


def _read(folder: Path) -> dict[str, Any]:
    rest = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    weights: dict[str, Any] = dict(read_weights(folder / WEIGHTS_FILE))
    weights |= {name: weights[owner] for name, owner in rest["tied"].items()}
    state: dict[str, Any] = rest["state"]
    state["model"] |= weights
    return state

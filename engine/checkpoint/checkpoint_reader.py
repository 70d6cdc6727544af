"""Finding and reading checkpoints: checked first, and never run.

Loading one runs none of its code, whoever made it: weights are `safetensors`, the rest is read
with `weights_only=True`, with no class allowed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .checkpoint_paths import REST, WEIGHTS, found, is_checkpoint, readable, tell
from .manifest import CheckpointError, DamagedError, Manifest
from .safetensors_writer import read_weights


class NoCheckpointError(CheckpointError):
    """A folder holds no checkpoint at all, not even a damaged one."""


def latest(path: str | Path) -> Path:
    """The newest checkpoint in a folder that is whole; a damaged one is passed over, and told.

    Cost: the files of what it gives are read, to check them.

    Args:
        path: the folder; or a checkpoint, which is given back if it is whole.

    Raises:
        NoCheckpointError: there is none.
        CheckpointError: there are some, all damaged; or one is of a newer trackside.
    """
    here = Path(path)
    if is_checkpoint(here):
        Manifest.read(here).check(here)
        return here
    if not found(here):
        raise NoCheckpointError(f"there is no checkpoint in {here}")
    newest_first = sorted(readable(here), key=lambda item: item[1].serial, reverse=True)
    for checkpoint, manifest in newest_first:
        try:
            manifest.check(checkpoint)
        except DamagedError as damage:
            tell(damage)
        else:
            return checkpoint
    raise CheckpointError(f"no checkpoint in {here} is whole; warnings say what is wrong with each")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The state in a checkpoint, checked; its tensors are on the CPU. Runs no code of it.

    Args:
        path: a checkpoint, or a folder of them, whose `latest` is taken.

    Raises:
        CheckpointError: there is none; it is damaged, of a newer trackside, or holds what is no
            plain data.
    """
    here = latest(path)
    if not {WEIGHTS, REST} <= set(Manifest.read(here).files):
        raise DamagedError(f"{here}: its manifest does not name {WEIGHTS} and {REST}")
    try:
        return _read(here)
    except Exception as error:  # whatever a forged file makes a parser raise
        raise CheckpointError(
            f"{here}: refused, and nothing of it was run: it holds what no checkpoint of trackside "
            f"does; {type(error).__name__} while it was read"
        ) from error


def _read(folder: Path) -> dict[str, Any]:
    rest = torch.load(folder / REST, map_location="cpu", weights_only=True)
    weights: dict[str, Any] = dict(read_weights(folder / WEIGHTS))
    weights |= {name: weights[owner] for name, owner in rest["tied"].items()}
    state: dict[str, Any] = rest["state"]
    state["model"] |= weights
    return state

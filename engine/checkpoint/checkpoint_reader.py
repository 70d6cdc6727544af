"""Find and read checkpoints; their checksums are checked first.

Loading a checkpoint runs no code from it, whoever wrote it: weights are `safetensors`, everything
else is read with `weights_only=True`, with no class allowed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ...events.utils.exception_text import first_line
from ...events.utils.nested import leaves
from ..fit_state.checkpointed_trainer import CheckpointedTrainer
from ..fit_state.compatibility import check_unit
from ..fit_state.sharded_tensors import StoredTensor, whole_tensors
from ..fit_state.state_dict_check import check_phase, check_values
from ..fit_state.training_state import STATE_DICT_FORMAT
from .checkpoint_paths import (
    is_checkpoint,
    list_checkpoints,
    readable_checkpoints,
    warn_skipped,
)
from .manifest import (
    STATE_FILE,
    WEIGHTS_FILE,
    CheckpointError,
    DamagedError,
    Manifest,
    TooLargeError,
    memory_bytes,
)
from .safetensors_writer import read_weights
from .shard_reader import with_stored_tensors
from .small_tensors import put_back
from .state_file_check import check_state_file


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
    return next(_newest_intact(Path(path)))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The checked state of a checkpoint, with tensors on the CPU. Runs no code from the file.

    Args:
        path: a checkpoint; or a folder of checkpoints, of which the newest is read that is intact
            and contains what a fit can have saved. Others are skipped with a warning, also those
            that are larger than the memory of this machine.

    Raises:
        CheckpointError: the folder contains no such checkpoint; the checkpoint is damaged, is from
            a newer trackside, or contains something that no fit has saved.
    """
    stored = read_stored(path)
    _check_memory(path, stored)
    state: dict[str, Any] = whole_tensors(stored)
    return state


def read_stored(path: str | Path, resumed_by: CheckpointedTrainer | None = None) -> dict[str, Any]:
    """As `read_checkpoint`; of what several ranks have written in shards no row is read yet.

    Args:
        path: as of `read_checkpoint`.
        resumed_by: the trainer that goes on from it: what no fit of its chart can have saved is
            skipped, too.
    """
    here = Path(path)
    candidates = _newest_intact(here)
    while True:
        checkpoint = next(candidates)
        try:
            return _read(checkpoint, resumed_by)
        except DamagedError as damage:
            if checkpoint == here:
                raise
            warn_skipped(damage)


def _newest_intact(here: Path) -> Iterator[Path]:
    """The checkpoints whose files are as they were written; raises at its end, as `latest`."""
    if is_checkpoint(here):
        Manifest.read(here).check(here)
        yield here
    if not list_checkpoints(here):
        raise NoCheckpointError(f"there is no checkpoint in {here}")
    newest_first = sorted(readable_checkpoints(here), key=lambda item: item[1].serial, reverse=True)
    for checkpoint, manifest in newest_first:
        try:
            manifest.check(checkpoint)
        except DamagedError as damage:
            warn_skipped(damage)
        else:
            yield checkpoint
    raise CheckpointError(
        f"every checkpoint in {here} is damaged, or too large for this machine; "
        "a warning describes each"
    )


def _read(folder: Path, resumed_by: CheckpointedTrainer | None) -> dict[str, Any]:
    try:
        state = _read_files(folder)
    except MemoryError:
        raise
    except Exception as error:  # a forged file can make a parser raise anything
        raise DamagedError(
            f"{folder}: refused before any of its code ran: its content is not that of a trackside "
            f"checkpoint; reading raised {first_line(error)[:200]}"
        ) from error
    if isinstance(state.get("format"), int) and state["format"] <= STATE_DICT_FORMAT:
        try:
            check_values(state)
            check_phase(state)
            if resumed_by is not None:
                check_unit(resumed_by, state)
        except ValueError as error:
            raise DamagedError(f"{folder}: refused: {error}") from None
    return state


def _read_files(folder: Path) -> dict[str, Any]:
    check_state_file(folder / STATE_FILE)
    with warnings.catch_warnings():  # from torch 2.15 on it tells of a check that is wanted here
        warnings.filterwarnings("ignore", "Validating sparse tensor invariants")
        rest = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    weights: dict[str, Any] = dict(read_weights(folder / WEIGHTS_FILE))
    weights |= {name: weights[owner] for name, owner in rest["tied"].items()}
    state: dict[str, Any] = rest["state"]
    put_back(state, rest.get("small", []))
    state["model"] |= weights
    return with_stored_tensors(state, folder, Manifest.read(folder).files)


def _check_memory(path: str | Path, state: Any) -> None:
    """Refuse to collect what is larger than the memory of this machine."""
    stored = leaves(state, StoredTensor)
    total, memory = sum(s.shape.numel() * s.dtype.itemsize for s in stored), memory_bytes()
    if total > memory:
        raise TooLargeError(
            f"{path} is too large to be read whole: its shards have {total} bytes, and this "
            f"machine has a memory of {memory}; resume it by several ranks"
        )

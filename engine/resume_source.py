"""Where a fit resumes from: a state dict, a path, or the folder of the trainer's own Checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..events import TrainState
from .checkpoint.checkpoint_reader import NoCheckpointError, read_checkpoint
from .checkpoint.rank_entries import entries_of_rank

ResumeFrom: TypeAlias = Mapping[str, Any] | str | Path | None


def read_resume_state(
    handlers: Iterable[Any], resume: ResumeFrom, state: TrainState
) -> Mapping[str, Any] | None:
    """The state dict to resume, as this rank has saved it; None: a new fit.

    Args:
        handlers: those of the trainer; one with a `resume_folder` saves its fits there.
        resume: "auto" is the newest checkpoint there, or a new fit if there is none.

    Raises:
        ValueError: "auto", and no handler, or several, say where.
        CheckpointError: there is no intact checkpoint.
    """
    saved = _read(handlers, resume)
    return None if saved is None else entries_of_rank(saved, state)


def _read(handlers: Iterable[Any], resume: ResumeFrom) -> Mapping[str, Any] | None:
    if isinstance(resume, str) and resume == "auto":
        return _read_if_any(_resume_folder(handlers))
    if isinstance(resume, (str, Path)):
        return read_checkpoint(resume)
    return copy.deepcopy(resume)  # training must not change the caller's tensors


def _read_if_any(folder: Path) -> dict[str, Any] | None:
    try:
        return read_checkpoint(folder)
    except NoCheckpointError:
        return None


def _resume_folder(handlers: Iterable[Any]) -> Path:
    folders = {Path(h.resume_folder) for h in handlers if hasattr(h, "resume_folder")}
    if len(folders) != 1:
        found = ", ".join(map(str, sorted(folders))) or "none"
        raise ValueError(
            f'fit(resume="auto") needs one Checkpoint handler, whose folder it resumes; folders '
            f"found: {found}; allowed: the path of a checkpoint or a folder (Path('auto') if it "
            "has that name)"
        )
    return folders.pop()

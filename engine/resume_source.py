"""Where a fit resumes from: a state dict, a path, or the folder of the trainer's own Checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from .fit_state.checkpointed_trainer import CheckpointedTrainer

ResumeFrom: TypeAlias = Mapping[str, Any] | str | Path | None


def read_resume_state(trainer: CheckpointedTrainer, resume: ResumeFrom) -> Mapping[str, Any] | None:
    """The state dict to resume, as this rank has saved it; None: a new fit.

    Args:
        trainer: one of its handlers may have a `resume_folder`, where it saves its fits.
        resume: "auto" is the newest checkpoint there, or a new fit if there is none.

    Raises:
        ValueError: "auto", and no handler, or several, say where.
        CheckpointError: there is no intact checkpoint.
    """
    saved = _read(trainer, resume)
    if saved is None:
        return None
    from .checkpoint.rank_entries import entries_of_rank  # noqa: PLC0415  # slow to import

    return entries_of_rank(saved, trainer.state)


def _read(trainer: CheckpointedTrainer, resume: ResumeFrom) -> Mapping[str, Any] | None:
    if isinstance(resume, str) and resume == "auto":
        return _read_if_any(trainer, _resume_folder(trainer.handlers))
    if isinstance(resume, (str, Path)):
        from .checkpoint.checkpoint_reader import read_stored  # noqa: PLC0415  # slow to import

        return read_stored(resume, trainer)
    return copy.deepcopy(resume)  # training must not change the caller's tensors


def _read_if_any(trainer: CheckpointedTrainer, folder: Path) -> dict[str, Any] | None:
    from .checkpoint.checkpoint_reader import (  # noqa: PLC0415  # slow to import
        NoCheckpointError,
        read_stored,
    )

    try:
        return read_stored(folder, trainer)
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

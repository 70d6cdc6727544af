"""Where a fit resumes from: a state dict, a path, or the folder of the trainer's own Checkpoint."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch

from .fit_state.checkpointed_trainer import CheckpointedTrainer
from .fit_state.sharded_tensors import StoredTensor
from .named_parts import whole_model

ResumeFrom: TypeAlias = Mapping[str, Any] | str | Path | None


def read_resume_state(trainer: CheckpointedTrainer, resume: ResumeFrom) -> Mapping[str, Any] | None:
    """The state dict to resume, as this rank has saved it; None: a new fit.

    Args:
        trainer: one of its handlers may have a `resume_folder`, where it saves its fits.
        resume: "auto" is the newest checkpoint there, or a new fit if there is none.

    Raises:
        TypeError: it is nothing to resume from.
        ValueError: "auto", and no handler, or several, say where.
        CheckpointError: there is no intact checkpoint.
    """
    if not isinstance(resume, (Mapping, str, Path, type(None))):
        raise TypeError(
            f"fit(resume=…): found a {type(resume).__name__}; allowed: a state_dict, the path of a "
            'checkpoint or of a folder of checkpoints, a str or a Path, or "auto"'
        )
    saved = _read(trainer, resume)
    if saved is None:
        return None
    from .checkpoint.rank_entries import entries_of_rank  # noqa: PLC0415  # slow to import

    return entries_of_rank(saved, trainer.state)


def place_of(
    trainer: CheckpointedTrainer, resume: ResumeFrom, saved: Mapping[str, Any] | None
) -> dict[str, str]:
    """Where a fit begins, in words; of several ranks only the entry "from" may differ."""
    source = {"from": _source(trainer, resume, saved)}
    if saved is None:
        return {**source, "phase": trainer.topology.initial}
    counters = {name: str(saved["position"][name]) for name in ("epoch", "batch_index", "step")}
    place = {**source, "phase": saved["phase"], **counters}
    if trainer.state.world_size > 1:
        place["weights"] = f"with checksum {_checksum(trainer, saved['model']):08x}"
    return place


def _checksum(trainer: CheckpointedTrainer, weights: Mapping[str, Any]) -> int:
    """Of some values of each parameter; buffers may differ from rank to rank."""
    buffers = dict(whole_model(trainer.state).named_buffers())
    found = 0
    for name in sorted(weights.keys() - buffers.keys()):
        found = zlib.crc32(repr(_some_values(weights[name])).encode(), found)
    return found


def _some_values(tensor: Any) -> list[Any]:
    """At most four values of a tensor, or of the first row of one that is in files."""
    if isinstance(tensor, StoredTensor):
        tensor = tensor.read(0, min(1, tensor.shape[0]))
    if not isinstance(tensor, torch.Tensor):
        return []
    values: list[Any] = tensor.flatten()[:: max(1, tensor.numel() // 4)][:4].tolist()
    return values


def _source(
    trainer: CheckpointedTrainer, resume: ResumeFrom, saved: Mapping[str, Any] | None
) -> str:
    if resume is None:
        return "a new fit"
    if isinstance(resume, str) and resume == "auto":
        folder = _resume_folder(trainer.handlers)
        return f"a new fit, as {folder} has no checkpoint" if saved is None else f"from {folder}"
    return f"from {resume}" if isinstance(resume, (str, Path)) else "from a state dict"


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

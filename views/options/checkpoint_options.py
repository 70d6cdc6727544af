"""The options `--checkpoint` and `--resume` of `trackside fit`."""

from __future__ import annotations

from pathlib import Path

from ...engine import CheckpointError, NoCheckpointError, Trainer, latest
from ...events.utils.exception_text import first_message_line
from ...handlers import Checkpoint, Preemption
from ..output.usage_error import UsageError

MINUTES = 10


def attach_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Save to `folder` each epoch, every ten minutes, and before the process is terminated.

    Raises:
        UsageError: the job already has a Checkpoint.
    """
    if existing := _checkpoint_handler(trainer):
        raise UsageError(
            f"--checkpoint {folder}: the job already has a Checkpoint, which saves to "
            f"{existing.folder}; remove one of them"
        )
    trainer.attach(Checkpoint(folder, epochs=1, minutes=MINUTES))
    if not any(isinstance(handler, Preemption) for handler in trainer.handlers):
        trainer.attach(Preemption())


def find_resume_checkpoint(trainer: Trainer, resume: str | None) -> Path | None:
    """The checkpoint to resume; None: start a new fit.

    Args:
        resume: a path; "auto": the latest checkpoint in the folder where the trainer saves; None.

    Raises:
        UsageError: no intact checkpoint exists; or a new fit would save to the folder of another.
    """
    checkpoint = _checkpoint_handler(trainer)
    if resume is None:
        if checkpoint is not None and _latest(checkpoint.folder):
            raise UsageError(
                f"{checkpoint.folder} contains checkpoints of another fit: resume it with "
                "--resume auto, or save to another folder"
            )
        return None
    if resume != "auto":
        path = _latest(Path(resume))
        if path is None:
            raise UsageError(f"--resume {resume}: no checkpoint at this path")
        return path
    if checkpoint is None:
        raise UsageError("--resume auto: it needs a folder of checkpoints; see --checkpoint DIR")
    path = _latest(checkpoint.folder)
    print(f"resuming {path}" if path else f"no checkpoint in {checkpoint.folder}: a new fit begins")
    return path


def _checkpoint_handler(trainer: Trainer) -> Checkpoint | None:
    return next((h for h in trainer.handlers if isinstance(h, Checkpoint)), None)


def _latest(path: Path) -> Path | None:
    try:
        return latest(path)
    except NoCheckpointError:
        return None
    except CheckpointError as error:
        raise UsageError(first_message_line(error)) from None

"""What `trackside fit` saves while it trains, and from where it goes on."""

from __future__ import annotations

from pathlib import Path

from ...engine import CheckpointError, NoCheckpointError, Trainer, latest
from ...handlers import Checkpoint, Preemption
from ..output.usage_error import UsageError, first_line

MINUTES = 10


def attach_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Save to `folder` each epoch and every ten minutes, and when the process is to end.

    Raises:
        UsageError: the job saves somewhere already.
    """
    if own := _checkpoint_of(trainer):
        raise UsageError(
            f"--checkpoint {folder}: the job has a Checkpoint of its own, which saves to "
            f"{own.folder}; leave one of them out"
        )
    trainer.attach(Checkpoint(folder, epochs=1, minutes=MINUTES))
    if not any(isinstance(handler, Preemption) for handler in trainer.handlers):
        trainer.attach(Preemption())


def resumed_from(trainer: Trainer, resume: str | None) -> Path | None:
    """The checkpoint from which the fit is to go on; None: it begins from scratch.

    Args:
        resume: a path; "auto" for the latest of the folder where the trainer saves; None.

    Raises:
        UsageError: there is none that is whole; the fit would be mixed up with another one.
    """
    checkpoint = _checkpoint_of(trainer)
    if resume is None:
        if checkpoint is not None and _latest(checkpoint.folder):
            raise UsageError(
                f"{checkpoint.folder} holds the checkpoints of another fit: go on from them with "
                "--resume auto, or save to another folder"
            )
        return None
    if resume != "auto":
        path = _latest(Path(resume))
        if path is None:
            raise UsageError(f"--resume {resume}: there is no checkpoint")
        return path
    if checkpoint is None:
        raise UsageError("--resume auto: nothing says where checkpoints are; see --checkpoint DIR")
    path = _latest(checkpoint.folder)
    print(f"resuming {path}" if path else f"no checkpoint in {checkpoint.folder}: a new fit begins")
    return path


def _checkpoint_of(trainer: Trainer) -> Checkpoint | None:
    return next((h for h in trainer.handlers if isinstance(h, Checkpoint)), None)


def _latest(path: Path) -> Path | None:
    try:
        return latest(path)
    except NoCheckpointError:
        return None
    except CheckpointError as error:
        raise UsageError(first_line(error)) from None

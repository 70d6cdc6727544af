"""Fit a job from the command line, with progress bars and a summary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from ...engine import Trainer
from ...events import TrainState, Transition
from ...events.utils.exception_text import first_message_line
from ...handlers import History, Metrics, ProgressBar
from ..jobs.job import Job
from ..options.checkpoint_options import attach_checkpoint, find_resume_checkpoint
from ..output.epoch_table import format_epochs
from ..output.usage_error import UsageError
from .run_artifacts import write_artifacts

H = TypeVar("H", Metrics, History, ProgressBar)


def fit_job(
    job: Job,
    epochs: int | None = None,
    out: Path | None = None,
    checkpoint: Path | None = None,
    resume: str | None = None,
    seed: int | None = None,
) -> None:
    """Fit with progress bars, print the epochs, and write the artifacts.

    Metrics, History and ProgressBar are attached if the trainer does not have them.

    Args:
        job: the trainer and its loaders.
        epochs: None: the epochs of the job, or of the checkpoint that is resumed.
        out: the folder for the artifacts, which are written even if the fit is interrupted or
            fails; None: do not write.
        checkpoint: the folder for checkpoints; None: attach no Checkpoint.
        resume: see `find_resume_checkpoint`.
        seed: of the fit; None: it is not seeded.

    Raises:
        UsageError: the fit cannot begin with this job.
    """
    trainer = job.trainer
    _get_or_attach(trainer, Metrics)
    history = _get_or_attach(trainer, History)
    _get_or_attach(trainer, ProgressBar)
    if checkpoint is not None:
        attach_checkpoint(trainer, checkpoint)
    run = [_begin_steps(job, epochs, find_resume_checkpoint(trainer, resume), seed)]
    try:
        for _ in (
            run.pop()
        ):  # only the loop refers to the iterator, so leaving the loop closes the scopes
            pass
    except KeyboardInterrupt:
        if trainer.state.is_main and history.rows:
            print(format_epochs(history.rows))
        raise
    finally:
        if out is not None and trainer.state.is_main:
            write_artifacts(out, history, trainer)
    if trainer.state.is_main:
        _print_result(history, trainer.state)


def _print_result(history: History, state: TrainState) -> None:
    if history.rows:
        print(format_epochs(history.rows))
    print(_summary(state))


def _get_or_attach(trainer: Trainer, kind: type[H]) -> H:
    """Return the trainer's handler of this class; attach a new one if it has none."""
    for handler in trainer.handlers:
        if isinstance(handler, kind):
            return handler
    handler = kind()
    trainer.attach(handler)
    return handler


def _begin_steps(
    job: Job, epochs: int | None, resume: Path | None, seed: int | None
) -> Iterator[Transition]:
    if epochs is None and resume is None:
        epochs = job.epochs
    try:
        return job.trainer.steps(
            job.train_loader, job.valid_loader, epochs, seed=seed, resume=resume
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"cannot fit this job: {first_message_line(error)}") from None


def _summary(state: TrainState) -> str:
    by = f" by {state.cancel.raised_by}: {state.cancel.reason}" if state.cancel else ""
    return f"{state.outcome} after {state.step} steps{by}"

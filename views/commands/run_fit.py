"""Training a job while a person watches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from ...engine import Trainer
from ...events import TrainState, Transition
from ...handlers import History, Metrics, ProgressBar
from ..jobs.job import Job
from ..output.epoch_table import table
from ..output.usage_error import UsageError, first_line
from .checkpoint_options import attach_checkpoint, resumed_from
from .run_artifacts import save

H = TypeVar("H", Metrics, History, ProgressBar)


def train(
    job: Job,
    epochs: int | None = None,
    out: Path | None = None,
    checkpoint: Path | None = None,
    resume: str | None = None,
) -> None:
    """Fit, with progress bars; print the epochs; leave history and weights in `out`.

    Metrics, a history and a progress bar are attached where the job's trainer has none. The
    files are written however the fit ends, by an interrupt or an error too. `checkpoint` is where
    the fit is saved, `resume` what it goes on from; see `checkpoints`.

    Raises:
        UsageError: the fit cannot begin with what the job holds.
    """
    trainer = job.trainer
    _attached(trainer, Metrics)
    history = _attached(trainer, History)
    _attached(trainer, ProgressBar)
    if checkpoint is not None:
        attach_checkpoint(trainer, checkpoint)
    run = [_begin(job, epochs, resumed_from(trainer, resume))]
    try:
        for _ in run.pop():  # the loop alone holds the iterator, so leaving it closes the scopes
            pass
    finally:
        if out is not None:
            save(out, history, trainer)
    if history.rows:
        print(table(history.rows))
    print(_ending(trainer.state))


def _attached(trainer: Trainer, kind: type[H]) -> H:
    """The trainer's handler of this kind; a new one where it has none."""
    for handler in trainer.handlers:
        if isinstance(handler, kind):
            return handler
    handler = kind()
    trainer.attach(handler)
    return handler


def _begin(job: Job, epochs: int | None, resume: Path | None) -> Iterator[Transition]:
    if epochs is None and resume is None:
        epochs = job.epochs
    try:
        return job.trainer.steps(job.train_loader, job.valid_loader, epochs, resume=resume)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"cannot fit this job: {first_line(error)}") from None


def _ending(state: TrainState) -> str:
    by = f" by {state.cancel.raised_by}: {state.cancel.reason}" if state.cancel else ""
    return f"{state.outcome} after {state.step} steps{by}"

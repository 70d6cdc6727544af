"""Training a job while a person watches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from ..engine import Trainer
from ..events import TrainState, Transition
from ..handlers import History, Metrics, ProgressBar
from .errors import UsageError, first_line
from .job import Job
from .saving import save
from .table import table

H = TypeVar("H", Metrics, History, ProgressBar)


def train(job: Job, epochs: int | None = None, out: Path | None = None) -> None:
    """Fit, with progress bars; print the epochs; leave history and weights in `out`.

    Metrics, a history and a progress bar are attached where the job's trainer has none. The
    files are written however the fit ends, by an interrupt or an error too.

    Raises:
        UsageError: the fit cannot begin with what the job holds.
    """
    trainer = job.trainer
    _attached(trainer, Metrics)
    history = _attached(trainer, History)
    _attached(trainer, ProgressBar)
    run = [_begin(job, job.epochs if epochs is None else epochs)]
    try:
        for _ in run.pop():  # the loop alone holds the iterator, so leaving it closes the scopes
            pass
    finally:
        if out is not None:
            save(out, history, trainer.state.model)
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


def _begin(job: Job, epochs: int) -> Iterator[Transition]:
    try:
        return job.trainer.steps(job.train_loader, job.valid_loader, epochs)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"cannot fit this job: {first_line(error)}") from None


def _ending(state: TrainState) -> str:
    by = f" by {state.cancel.raised_by}: {state.cancel.reason}" if state.cancel else ""
    return f"{state.outcome} after {state.step} steps{by}"

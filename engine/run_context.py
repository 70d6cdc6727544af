"""What is set up around a run, and put back when it ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ..events import TrainState
from ..events.state import Job
from .checkpoint.checkpointed_trainer import CheckpointedTrainer
from .checkpoint.fit_position import begin
from .checkpoint.restore import resume_fit
from .checkpoint.unsaved_warning import UnsavedWarning
from .loop.activities import begin_evaluation
from .loop.batch import forget_batch


@contextmanager
def fit_session(
    trainer: CheckpointedTrainer,
    unsaved: UnsavedWarning,
    train_loader: Iterable[Any],
    valid_loader: Iterable[Any] | None,
    asked: Mapping[str, Any],
    saved: Mapping[str, Any] | None,
) -> Iterator[None]:
    """A fit that begins, or goes on where `saved` was taken."""
    state = trainer.state
    state.train_loader, state.valid_loader = train_loader, valid_loader
    begin(state, asked)
    unsaved.note(trainer)
    with _run_session(state, "fit"):
        if saved is not None:
            resume_fit(trainer, saved)
        yield


@contextmanager
def evaluation_session(
    state: TrainState, job: Job, loader: Iterable[Any], found: dict[str, Any]
) -> Iterator[None]:
    """A run of the evaluation chart; its metrics go into `found`, and to those of the fit."""
    fit_loader, fit_metrics = state.valid_loader, state.metrics
    state.valid_loader, state.metrics = loader, found
    try:
        with _run_session(state, job):
            begin_evaluation(state)
            yield
    finally:
        state.valid_loader, state.metrics = fit_loader, {**fit_metrics, **found}


@contextmanager
def _run_session(state: TrainState, job: Job) -> Iterator[None]:
    """What a run changes, and leaves as it found it: modes, open iterators, the live batch."""
    modes = [(module, module.training) for module in state.model.modules()]
    gradients = torch.is_grad_enabled()
    state.job = job
    state.outcome, state.cancel, state.error = "completed", None, None
    state.batches = None
    forget_batch(state)
    try:
        yield
    finally:
        state.batches = state.paused = state.pass_begun = None
        forget_batch(state)
        torch.set_grad_enabled(gradients)
        for module, mode in modes:
            module.training = mode

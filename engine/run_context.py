"""Context managers around a run: set up the TrainState, and restore modes when the run ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ..events import TrainState
from ..events.state import Job
from .checkpoint.checkpointed_trainer import CheckpointedTrainer
from .checkpoint.fit_position import reset_state
from .checkpoint.restore import end_resumed_fit, resume_fit
from .checkpoint.rollback import remember
from .checkpoint.unsaved_warning import UnsavedStateCheck
from .loop.activities import begin_evaluation
from .loop.batch import clear_batch
from .statechart.phase_paths import open_scopes


@contextmanager
def fit_session(
    trainer: CheckpointedTrainer,
    unsaved: UnsavedStateCheck,
    train_loader: Iterable[Any],
    valid_loader: Iterable[Any] | None,
    limits: Mapping[str, Any],
    saved: Mapping[str, Any] | None,
) -> Iterator[None]:
    """Set up a fit of `limits`, a new one or the one that `saved` was captured in.

    If it cannot be resumed, the trainer and the loaders are as before.
    """
    state = trainer.state
    loaders = [loader for loader in (train_loader, valid_loader) if loader is not None]
    undo = ExitStack() if saved is None else remember(trainer, loaders)
    try:
        state.train_loader, state.valid_loader = train_loader, valid_loader
        reset_state(state, limits)
        unsaved.record(trainer)
        with _run_session(state, "fit"):
            if saved is None:
                yield
            else:
                with _resumed(trainer, saved, undo):
                    yield
    finally:
        undo.close()


@contextmanager
def _resumed(
    trainer: CheckpointedTrainer, saved: Mapping[str, Any], undo: ExitStack
) -> Iterator[None]:
    """Resume a fit; close it if it fails before its first transition."""
    before = trainer.state.phase
    resume_fit(trainer, saved)
    undo.pop_all()  # it holds a copy of the weights
    try:
        yield
    except BaseException as error:
        if open_scopes(trainer.state.phase):
            end_resumed_fit(trainer, before, error)
        raise


@contextmanager
def evaluation_session(
    state: TrainState, job: Job, loader: Iterable[Any], metrics: dict[str, Any]
) -> Iterator[None]:
    """Set up a run of the evaluation chart; it writes its metrics into `metrics`.

    They are added to those of the fit afterwards.
    """
    fit_loader, fit_metrics = state.valid_loader, state.metrics
    state.valid_loader, state.metrics = loader, metrics
    try:
        with _run_session(state, job):
            begin_evaluation(state)
            yield
    finally:
        state.valid_loader, state.metrics = fit_loader, {**fit_metrics, **metrics}


@contextmanager
def _run_session(state: TrainState, job: Job) -> Iterator[None]:
    """Restore the modes after a run, and drop its open iterators and its live batch."""
    modes = [(module, module.training) for module in state.model.modules()]
    gradients = torch.is_grad_enabled()
    state.job = job
    state.outcome, state.cancel, state.error = "completed", None, None
    state.batches = None
    clear_batch(state)
    try:
        yield
    finally:
        state.batches = state.paused = state.pass_begun = None
        clear_batch(state)
        torch.set_grad_enabled(gradients)
        for module, mode in modes:
            module.training = mode

"""The contexts of a run: set up the TrainState, and restore modes when the run ends."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch

from ..events import TrainState
from ..events.state import Job
from ..events.utils.exact_context import exact_context
from .batches.batch import clear_batch
from .closing.generator_closing import close_generator
from .data.validation_loaders import ONLY, by_name
from .fit_state.checkpointed_trainer import CheckpointedTrainer
from .fit_state.restore import end_resumed_fit, resume_fit
from .fit_state.rollback import remember
from .fit_state.seeding import seed_rank, seeded_fit
from .fit_state.unsaved_warning import UnsavedStateCheck
from .loop.activities import begin_evaluation
from .loop.fit_reset import reset_state
from .loop.module_modes import find_kept_in_eval, warn_if_kept_in_eval
from .named_parts import run_modules
from .ranks.common_begin import begun_by_all, entered_by_all, refused_by_all
from .resume_source import ResumeFrom, place_of
from .statechart.phase_paths import open_scopes


class RunSession:
    """The context of one run: restores modes, and drops its open iterators and its live batch.

    Args:
        prepare: a generator with one `yield`, during which the run is made.
        remember: called before anything is changed; what the stack that it returns contains is
            done after everything else, unless `prepare` has emptied it.
        ended: called last, when everything is restored.
    """

    def __init__(
        self,
        state: TrainState,
        job: Job,
        prepare: Generator[None, None, None],
        remember: Callable[[], ExitStack] = ExitStack,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._ended = ended
        self._job = job
        self._prepare = prepare
        self._remember = remember
        self._undo = ExitStack()
        self._gradients: bool | None = None

    def __enter__(self) -> None:
        self._undo = self._remember()
        state = self._state
        state.found_modes = {
            module: module.training
            for root in run_modules(state).values()
            for module in root.modules()
        }
        state.kept_in_eval = find_kept_in_eval(state)
        self._gradients = torch.is_grad_enabled()
        state.job = self._job
        state.outcome, state.cancel, state.error = "completed", None, None
        state.batches = None
        clear_batch(state)
        next(self._prepare)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._prepare.throw(error)
        self.close()

    def close(self) -> None:
        """End the run; safe to repeat, if an interrupt has broken it off."""
        close_generator(self._prepare)
        self._restore_modes()
        self._undo.close()
        self._ended()

    def _restore_modes(self) -> None:
        if self._gradients is None:  # never entered
            return
        state = self._state
        state.batches = state.paused = state.pass_begun = None
        clear_batch(state)
        for module, mode in state.found_modes.items():
            module.training = mode
        torch.set_grad_enabled(self._gradients)
        state.found_modes, state.kept_in_eval, self._gradients = {}, [], None


def fit_session(
    trainer: CheckpointedTrainer,
    unsaved: UnsavedStateCheck,
    train_loader: Iterable[Any] | None,
    valid_loader: Iterable[Any] | None,
    limits: Mapping[str, Any],
    saved: Mapping[str, Any] | None,
    resume: ResumeFrom,
) -> RunSession:
    """The context of a fit of `limits`, a new one or the one that `saved` was captured in.

    If it cannot be resumed, the trainer and the loaders are as before.

    Args:
        resume: what `saved` was read from, for messages.
    """

    kept = ExitStack()

    def remember_all() -> ExitStack:
        if saved is not None:
            given = (train_loader, *by_name(valid_loader).values())
            with refused_by_all(trainer, trainer.handlers):
                kept.enter_context(remember(trainer, [one for one in given if one is not None]))
        return kept

    def prepare() -> Generator[None, None, None]:
        state = trainer.state
        state.train_loader, state.valid_loader = train_loader, valid_loader
        state.evaluation = next(iter(by_name(valid_loader)), ONLY)
        with refused_by_all(trainer, trainer.handlers):
            reset_state(state, limits)
            trainer.begins = place_of(trainer, resume, saved)
        with seeded_fit(state, saved is None), around_run(trainer), ExitStack() as run:
            with begun_by_all(trainer):
                unsaved.record(trainer)
                warn_if_kept_in_eval(state)
                for conflict in trainer.conflicts:
                    warnings.warn(str(conflict), stacklevel=2)
                if saved is None:
                    seed_rank(state)
                else:
                    run.enter_context(_resumed(trainer, saved))
            kept.pop_all()  # it holds a copy of the weights
            yield

    def ended() -> None:
        if trainer.state.outcome == "completed":
            trainer.subscription_counts.warn_if_never_called()

    return RunSession(trainer.state, "fit", prepare(), remember_all, ended)


@exact_context
def _resumed(trainer: CheckpointedTrainer, saved: Mapping[str, Any]) -> Iterator[None]:
    """Resume a fit; close it if it fails before its first transition."""
    before = trainer.state.phase
    resume_fit(trainer, saved)
    try:
        yield
    except BaseException as error:
        # a dropped run: the garbage collector may close this generator before that of the engine
        is_dropped = isinstance(error, GeneratorExit)
        if open_scopes(trainer.state.phase) and not is_dropped:
            end_resumed_fit(trainer, before, error)
        raise


@exact_context
def around_run(trainer: CheckpointedTrainer) -> Iterator[None]:
    """Enter the generators `around_run(trainer, state)` of handlers, each with one `yield`.

    They surround a whole fit, validation or prediction: entered when the loaders are known, before
    anything is resumed or compiled; run to their ends after everything else, last in, first out,
    however the run ends. They may replace the loaders.
    """
    handlers = iter(trainer.handlers)
    with ExitStack() as stack:
        with entered_by_all(trainer, handlers):
            for handler in handlers:
                if hasattr(handler, "around_run"):
                    around = handler.around_run(trainer, trainer.state)
                    next(around)
                    stack.callback(next, around, None)
        yield


def evaluation_session(
    trainer: CheckpointedTrainer,
    job: Job,
    loader: Iterable[Any],
    name: str,
    metrics: dict[str, Any],
) -> RunSession:
    """The context of a run of the evaluation chart; it writes its metrics into `metrics`.

    They are added to those of the fit afterwards, whose outcome is kept if this run completes.
    """
    state = trainer.state
    outcome, cancel, fit_name = state.outcome, state.cancel, state.evaluation

    def prepare() -> Generator[None, None, None]:
        fit_loader, fit_metrics = state.valid_loader, state.metrics
        state.valid_loader, state.evaluation = loader, name
        state.clear_metrics()
        try:
            trainer.begins = {}
            with around_run(trainer):
                with begun_by_all(trainer):
                    begin_evaluation(state)
                yield
        finally:
            metrics.update(state.metrics)
            state.valid_loader, state.metrics = fit_loader, fit_metrics
            state.evaluation = fit_name
            if name != ONLY or state.epoch < 0:  # else they are those of the fit
                dict.update(fit_metrics, metrics)  # reported already
            if state.outcome == "completed":
                state.outcome, state.cancel = outcome, cancel

    return RunSession(state, job, prepare())

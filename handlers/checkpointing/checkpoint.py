"""Save a fit to disk, so that it can be resumed after the process has died."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from ...events import AttachError, TrainerProtocol, TrainState, Transition
from ...events.reported_metrics import missing_metric
from .._copying import LeftOut, nothing
from .._stateful import Stateful
from .._writes import Writes
from ..run_facts import run_facts
from ._background_writer import BackgroundWriter
from ._best_checkpoints import BestCheckpoints, Mode, check_options, finite_metrics
from ._closing_phase import phase_set_to
from ._inner_fits import has_inner_fits
from ._rank_states import RankStore, of_main
from ._save_schedule import SaveSchedule

Activity = Callable[[TrainState], str]


class Checkpoint(Stateful):
    """Saves the complete fit to a folder; `fit(resume=folder)` continues it bit for bit.

    It saves between two batches or two epochs, after every handler has run. A checkpoint is written
    whole or not at all: `resume` loads the newest complete one, whenever the process was killed.
    When a cancel or an error ends the fit, it is saved as if only the current batch had been
    cancelled. If the optimizer step itself fails, weights may be half updated, and nothing is
    saved. Attach it after other handlers. With Distributed rank 0 writes, what every rank has of
    its own included, and each rank its shards; nothing is saved after an error.

    Signals: begin_fit, resumed, reported, any_transition, after_fit; wraps fetch and ready
    Reads: job, phase, epoch, batch_index, step, metrics, reported, outcome, cancel, error
    Writes: with `restore_best` the weights
    Raises: CheckpointError if the folder contains another fit, or another process writes to it;
        OSError if a write fails; bad arguments in `__init__`
    Cost: no sync between saves, but one for each value of a `metric` that is a tensor; under a
        microsecond a batch. Training waits while files are written and synced; with `async_save`
        only while everything is copied in memory, which syncs a device
    Does not: save inside of a batch, or after an optimizer step that has failed

    Args:
        folder: used by this fit alone; created when the fit begins.
        steps: save every n optimizer steps.
        epochs: save at the end of every n epochs; 1 if all of steps, epochs, minutes and metric are
            None.
        minutes: save when this time has passed since the last save.
        metric: save when this metric is reported and is one of the best `keep_best`: before the
            next batch, or at the end of the epoch whose end it belongs to.
        mode: whether "min" or "max" is better.
        keep_last: number of newest checkpoints to keep; None: all.
        keep_best: number of best checkpoints to keep, in addition.
        restore_best: after a fit that has not failed, load the weights that the `metric` has judged
            best into the model: with EMA, which validates with its average, the averaged ones.
        on_cancel: save when the fit is cancelled.
        on_failure: save when the fit fails, or is interrupted.
        async_save: write in a background thread; the next save waits for it.
        clock: returns the current time in seconds.

    Attributes:
        last: the newest checkpoint in the folder; None before the first.
        best: the best checkpoint in the folder; None before the first. `validated_weights(best)`
            of the engine are the weights that the metric has judged.
    """

    reads = (
        *("job", "phase", "epoch", "batch_index", "step"),
        *("metrics", "reported", "outcome", "cancel", "error"),
    )
    writes: ClassVar[Writes] = {"after_fit": ("model.weights",)}
    runs_after = ("EMA", "SWA")  # the best weights replace those that they leave in the model

    option_parts = ("_schedule", "_best")
    left_out: ClassVar[LeftOut] = {"_trainer": nothing, "_store": nothing}

    def __init__(
        self,
        folder: str | Path,
        *,
        steps: int | None = None,
        epochs: int | None = None,
        minutes: float | None = None,
        metric: str | None = None,
        mode: Mode = "min",
        keep_last: int | None = 3,
        keep_best: int = 1,
        restore_best: bool = False,
        on_cancel: bool = True,
        on_failure: bool = True,
        async_save: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_options(keep_last, keep_best, mode, metric, restore_best)
        if (steps, epochs, minutes, metric) == (None,) * 4:
            epochs = 1
        self.folder, self.async_save = Path(folder), async_save
        self.keep_last, self.restore_best = keep_last, restore_best
        self.on_cancel, self.on_failure = on_cancel, on_failure
        self._schedule = SaveSchedule(steps, epochs, minutes, clock)
        self._best = BestCheckpoints(metric, mode, keep_best)
        self._trainer: Any = None
        self._store: Any = None
        self._writer = BackgroundWriter(None)
        self._is_open = self._warned = self._closed = self._is_reported = False

    @property
    def last(self) -> Path | None:
        return next(reversed(self._written()), None)

    @property
    def resume_folder(self) -> Path:
        """The folder from which `fit(resume="auto")` resumes."""
        return self.folder

    @property
    def best(self) -> Path | None:
        return next(iter(self._best.select(self._written())), None)

    def attached(self, trainer: TrainerProtocol) -> None:
        if not hasattr(trainer, "checkpoints"):
            raise AttachError(
                f"Checkpoint cannot be attached to a {type(trainer).__name__}: it has no "
                "checkpoints(folder), which writes checkpoints; attach it to a Trainer"
            )
        self._trainer = trainer
        if self.restore_best and has_inner_fits(trainer):
            raise AttachError(
                "Checkpoint(restore_best=True): the chart has fits inside other scopes, and the "
                "best weights of one would be loaded in another; load validated_weights(best) of "
                "trackside.engine after the run"
            )
        self._store = RankStore(trainer.checkpoints(self.folder), trainer.state)

    def detached(self, trainer: TrainerProtocol) -> None:
        self._close()

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self._is_open:
            self._schedule.start(state)  # the next one of several fits inside other scopes
        else:
            self._open(trainer, state, new=True)

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._open(trainer, state, new=False)

    def wrap_fetch(self, fetch: Activity) -> Activity:
        def save_and_fetch(state: TrainState) -> str:
            if state.job == "fit":
                is_judged = self._is_reported and not state.ends_round
                self._save_if_due(state, self._schedule.at_batch(state), is_judged, is_judged)
                self._writer.check()  # last: this rank may see an error before the others
            return fetch(state)

        return save_and_fetch

    def wrap_ready(self, ready: Activity) -> Activity:
        def save_and_continue(state: TrainState) -> str:
            if state.epoch >= 0 and state.round_scope not in state.phase.split("."):
                self._at_epoch(state)
            return ready(state)

        return save_and_continue

    def reported(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job == "fit" and self._best.metric in state.reported:
            self._is_reported = True

    def any_transition(
        self, trainer: TrainerProtocol, state: TrainState, transition: Transition
    ) -> None:
        receive = self.for_transition(transition)
        if receive is not None:
            receive(trainer, state)

    def for_transition(self, transition: Transition) -> Callable[..., None] | None:
        """Receives steps, and transitions that close a scope from a phase between two batches."""
        if transition.trigger == "after_step":
            return self._note_failed_step
        if "." not in transition.destination and has_inner_fits(self._trainer):
            return lambda trainer, state: self._close()
        if transition.trigger.startswith("begin_") or self._is_in_batch(transition.source):
            return None
        return functools.partial(self._save_if_fit_ends, source=transition.source)

    def _is_in_batch(self, phase: str) -> bool:
        return self._trainer is not None and self._trainer.state.unit_scope in phase.split(".")

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if "." in state.phase:
            return  # a fit inside other scopes is one of several
        restores = self.restore_best and state.outcome != "failed"
        best = None
        try:
            self._close()
            best = self.best if restores else None
        finally:  # the other ranks wait for it
            best = of_main(state, best) if restores else None
        if best is not None:
            self._store.load_validated(best, state)

    def _open(self, trainer: TrainerProtocol, state: TrainState, new: bool) -> None:
        self._trainer = trainer  # it may be attached to several
        self._warned = self._closed = False
        self._is_reported = not new and state.ends_round and self._best.metric in state.metrics
        self._writer = BackgroundWriter(self._store.copied if self.async_save else None)
        self._store.open(new)
        self._is_open = True
        self._schedule.start(state)

    def _at_epoch(self, state: TrainState) -> None:
        self._warn_if_missing(state)
        self._save_if_due(state, self._schedule.at_epoch(state), self._is_reported, True)

    def _save_if_due(
        self, state: TrainState, why: str | None, is_judged: bool, has_metrics: bool
    ) -> None:
        if is_judged:
            self._is_reported = False
            if self._best.improves(state.metrics, self._written()):
                why = f"best {self._best.metric}"
        if is_judged or self._schedule.minutes is not None:
            why = of_main(state, why)  # another rank has another clock, and no folder
        if why:
            self._save(state, why, finite_metrics(state.metrics) if has_metrics else None)

    def _note_failed_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.error is not None:
            self._closed = True
            warnings.warn(
                f"Checkpoint saves nothing after the error in step {state.step}: weights may be "
                "half updated",
                stacklevel=2,
            )

    def _save_if_fit_ends(self, trainer: TrainerProtocol, state: TrainState, source: str) -> None:
        """Save while scopes close, before the first scope that is not part of a batch."""
        run = source.partition(".")[0]
        if self._closed or self._writer.failed or not self._ends_fit(state, run):
            return
        with phase_set_to(state, source):
            if state.at_boundary and state.epoch >= 0:
                self._closed = True
                self._save(state, state.outcome)

    def _ends_fit(self, state: TrainState, run: str) -> bool:
        if state.job != "fit":
            return False
        if state.error is not None:
            return self.on_failure and state.world_size == 1
        return self.on_cancel and state.cancel is not None and state.cancel.scope == run

    def _save(self, state: TrainState, why: str, metrics: dict[str, float] | None = None) -> None:
        step = state.step
        facts = {"why": why, "epoch": state.epoch, "batch": state.batch_index, "phase": state.phase}
        facts |= {"metrics": metrics} if metrics else {}

        self._store.await_ranks()

        def write(saved: dict[str, Any]) -> None:
            self._store.save(saved, step, {**facts, "run": run_facts(state)})

        def prune() -> None:
            self._store.keep(self._paths_to_keep())

        self._writer.save(functools.partial(self._store.capture, self._trainer), write, prune)
        self._schedule.done(state)

    def _paths_to_keep(self) -> set[Path]:
        written = self._written()
        last = list(written)[-self.keep_last :] if self.keep_last else list(written)
        return {*last, *self._best.select(written)}

    def _written(self) -> dict[Path, dict[str, Any]]:
        """The facts in the manifest of each checkpoint, oldest first."""
        written = {} if self._store is None else self._store.written
        return {path: manifest.facts for path, manifest in written.items()}

    def _warn_if_missing(self, state: TrainState) -> None:
        metric = self._best.metric
        if metric is None or self._warned or not state.validation_due:
            return
        if metric not in state.metrics:
            self._warned = True
            warnings.warn(
                missing_metric("Checkpoint", metric, state.metrics, state.epoch), stacklevel=2
            )

    def _close(self) -> None:
        self._is_open = False
        try:
            self._writer.close()
        finally:
            self._store.close()

"""Losing nothing when a process dies."""

from __future__ import annotations

import functools
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...events import AttachError, TrainerProtocol, TrainState, Transition
from .._stateful import Saved
from ._background_writer import Saver
from ._best_checkpoints import Best, Mode, finite
from ._save_schedule import Schedule, check_count

Activity = Callable[[TrainState], str]


class Checkpoint(Saved):
    """Saves the whole fit to a folder, from which it goes on as if nothing had happened.

    It is saved between two batches or two epochs, when all handlers have heard what was. A
    checkpoint is written whole or not at all: `fit(resume=folder)` goes on from the last one that
    is whole, whenever the process was killed. After a cancel, or an error, that ends the fit, what
    is saved is the fit as if only the live batch had been cancelled. When a step itself fails,
    weights may be half updated, and nothing is saved. Attach it after other handlers.

    Signals: begin_fit, resumed, any_transition, after_fit; wraps fetch and ready
    Reads: job, phase, epoch, batch_index, step, metrics, outcome, cancel, error
    Raises: CheckpointError where the folder holds another fit, or another process writes there;
        OSError when it cannot be written; wrong arguments at once
    Cost: no sync between saves, but one an epoch for a `metric` that is a tensor; under a
        microsecond a batch. A save stands still while files are written and synced, with
        `async_save` only while everything is copied in memory; on another device that is a sync

    Args:
        folder: of this fit alone; made when the fit begins.
        steps: save after every so many optimizer steps.
        epochs: save at the end of every so many epochs. Every one, if nothing else is asked for.
        minutes: save when so many have passed since the last time.
        metric: save at the end of an epoch in which this metric is one of the best `keep_best`.
        mode: whether "min" or "max" is better.
        keep_last: how many of the last to keep; None for all of them.
        keep_best: how many of the best to keep, besides.
        on_cancel: save when the fit is cancelled.
        on_failure: save when it fails, or is interrupted.
        async_save: write in a thread of its own; the next save waits for it.
        clock: tells seconds.

    Attributes:
        last: the newest checkpoint of the folder; None before the first.
        best: the best one of the folder.
    """

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
        on_cancel: bool = True,
        on_failure: bool = True,
        async_save: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if keep_last is not None:
            check_count("keep_last", keep_last)
        check_count("keep_best", keep_best)
        if mode not in ("min", "max"):
            raise ValueError(f"Checkpoint(mode={mode!r}): allowed: 'min', 'max'")
        if (steps, epochs, minutes, metric) == (None,) * 4:
            epochs = 1
        self.folder = Path(folder)
        self.keep_last = keep_last
        self.on_cancel, self.on_failure = on_cancel, on_failure
        self.async_save = async_save
        self._schedule = Schedule(steps, epochs, minutes, clock)
        self._best = Best(metric, mode, keep_best)
        self._trainer: Any = None
        self._store: Any = None
        self._saver = Saver(None)
        self._told = self._closed = False

    @property
    def last(self) -> Path | None:
        return next(reversed(self._written()), None)

    @property
    def best(self) -> Path | None:
        return next(iter(self._best.among(self._written())), None)

    def attached(self, trainer: TrainerProtocol) -> None:
        if not hasattr(trainer, "checkpoints"):
            raise AttachError(
                f"Checkpoint cannot be attached to a {type(trainer).__name__}: it has no "
                "checkpoints(folder), which writes them; attach it to a Trainer"
            )
        self._trainer = trainer
        self._store = trainer.checkpoints(self.folder)

    def detached(self, trainer: TrainerProtocol) -> None:
        self._close()

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._begin(state, new=True)

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._begin(state, new=False)

    def wrap_fetch(self, fetch: Activity) -> Activity:
        def saving(state: TrainState) -> str:
            if state.job == "fit":
                self._saver.check()
                if why := self._schedule.at_batch(state):
                    self._save(state, why)
            return fetch(state)

        return saving

    def wrap_ready(self, ready: Activity) -> Activity:
        def saving(state: TrainState) -> str:
            if state.phase == "fit.ready" and state.epoch >= 0:
                self._at_epoch(state)
            return ready(state)

        return saving

    def any_transition(
        self, trainer: TrainerProtocol, state: TrainState, transition: Transition
    ) -> None:
        receive = self.for_transition(transition)
        if receive is not None:
            receive(trainer, state)

    def for_transition(self, transition: Transition) -> Callable[..., None] | None:
        """The steps, and what leads out of a scope from a phase between two batches."""
        if transition.trigger == "after_step":
            return self._note_failed_step
        if transition.trigger.startswith("begin_") or "batch" in transition.source.split("."):
            return None
        return functools.partial(self._save_if_it_ends, source=transition.source)

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._close()

    def _begin(self, state: TrainState, new: bool) -> None:
        self._told = self._closed = False
        self._saver = Saver(self._store.copied if self.async_save else None)
        self._store.open(new)
        self._schedule.start(state)

    def _at_epoch(self, state: TrainState) -> None:
        why = self._schedule.at_epoch(state)
        if self._best.metric is not None:
            self._tell_if_missing(state)
            if self._best.improves(state.metrics, self._written()):
                why = f"best {self._best.metric}"
        if why:
            self._save(state, why, finite(state.metrics))

    def _note_failed_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.error is not None:
            self._closed = True
            warnings.warn(
                f"Checkpoint saves nothing after the error in step {state.step}: weights may be "
                "half updated",
                stacklevel=2,
            )

    def _save_if_it_ends(self, trainer: TrainerProtocol, state: TrainState, source: str) -> None:
        """While scopes are being closed, before the first of them that is not a batch's."""
        if self._closed or self._saver.failed or not self._ends_fit(state):
            return
        if sys.is_finalizing():  # an iterator was left open: too late to write anything
            return
        with _as_if_in(state, source):
            if state.at_boundary and state.epoch >= 0:
                self._closed = True
                self._save(state, state.outcome)

    def _ends_fit(self, state: TrainState) -> bool:
        if state.job != "fit":
            return False
        if state.error is not None:
            return self.on_failure
        return self.on_cancel and state.cancel is not None and state.cancel.scope == "fit"

    def _save(self, state: TrainState, why: str, metrics: dict[str, float] | None = None) -> None:
        step = state.step
        facts = {"why": why, "epoch": state.epoch, "batch": state.batch_index, "phase": state.phase}
        facts |= {"metrics": metrics} if metrics else {}

        def write(saved: dict[str, Any]) -> None:
            self._store.save(saved, step, facts)

        def tidy() -> None:
            self._store.keep(self._wanted())

        self._saver.save(self._trainer.state_dict, write, tidy)
        self._schedule.done()

    def _wanted(self) -> set[Path]:
        written = self._written()
        last = list(written)[-self.keep_last :] if self.keep_last else list(written)
        return {*last, *self._best.among(written)}

    def _written(self) -> dict[Path, dict[str, Any]]:
        """What the manifests say, oldest first."""
        written = {} if self._store is None else self._store.written
        return {path: manifest.facts for path, manifest in written.items()}

    def _tell_if_missing(self, state: TrainState) -> None:
        if self._best.metric not in state.metrics and state.validation_due and not self._told:
            self._told = True
            warnings.warn(
                f"Checkpoint found no metric {self._best.metric!r} after epoch {state.epoch}; "
                f"there are: {', '.join(state.metrics) or 'none (attach Metrics)'}",
                stacklevel=2,
            )

    def _close(self) -> None:
        try:
            self._saver.wait()
        finally:
            if self._store is not None:
                self._store.close()


@contextmanager
def _as_if_in(state: TrainState, phase: str) -> Iterator[None]:
    """While a scope is being closed: as if it was not yet."""
    live, state.phase = state.phase, phase
    try:
        yield
    finally:
        state.phase = live

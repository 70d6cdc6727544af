"""A fit in a background thread; other threads can watch, pause, cancel and wait for it."""

from __future__ import annotations

import asyncio
import atexit
import functools
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any

from ...events import IllegalCancelError, TrainState, Transition, cancel_for
from ...events.utils.exception_text import add_note, traceback_text
from ...events.utils.log import log
from ...events.utils.similar_names import did_you_mean
from ..engine import Engine
from ..statechart.phase_paths import inside, open_scopes, scope_name
from .run_progress import Status, Stopwatch, read_status, unreadable_status


class Run(Future[TrainState]):
    """A fit that `trainer.start` began; a `concurrent.futures.Future` of its `TrainState`.

    It works with `concurrent.futures.wait` and `as_completed`, and can be awaited; cancelling the
    task that awaits it cancels the fit. As a context manager it cancels the fit and joins the
    thread when the block ends, and raises the error of the fit; if the block itself raised, that
    error has the one of the fit as a note.
    A cancelled fit has a result, as in `fit`: its state says how it ended. When the process exits,
    the fit is cancelled, and the process waits until its scopes are closed.

    Raises:
        BaseException: an error of the fit before it began.
    """

    def __init__(self, trainer: Engine, transitions: Iterator[Transition]) -> None:
        super().__init__()
        self._trainer = trainer
        self._clock = Stopwatch()
        self._at_start: tuple[int, float] | None = None
        self._final_status: Status | None = None
        self._status_changed = threading.Condition()
        self._started = threading.Event()
        name = " ".join(filter(None, ("trackside", trainer.name)))
        self._thread = threading.Thread(
            target=self._run_to_end, args=(transitions,), name=name, daemon=True
        )
        _cancel_at_exit()
        self.set_running_or_notify_cancel()
        trainer.on("any_transition", once=True)(self._on_begin)
        _live_runs.add(self)
        self._thread.start()
        self._started.wait()
        if self._at_start is None:
            self.result()

    def status(self) -> Status:
        """A snapshot of the run. Cost: no device sync, and no time of the run."""
        final = self._final_status
        return self._read_status() if final is None else final

    def pause(self) -> None:
        """Pause the run at its next transition; a cancel still takes effect.

        Raises:
            RuntimeError: the run has several ranks; the others would not wait longer than their
                timeout.
        """
        if self._trainer.state.world_size > 1:
            raise RuntimeError(
                "cannot pause one of several ranks: the others would wait for it in a vote until "
                "their timeout, and fail; cancel the run, and resume it from a checkpoint"
            )
        if not self.done():
            self._clock.stop()
            self._trainer.requests.pause()

    def resume(self) -> None:
        """Continue a paused run."""
        if not self.done():
            self._clock.start()
            self._trainer.requests.resume()

    def cancel(self, scope: str | None = None, reason: str = "") -> bool:
        """Cancel a scope of the chart at the next transition; by default the run.

        See `Engine.request` for a scope that is not open.

        Returns:
            Whether the cancel was requested: False when the run is done.

        Raises:
            ValueError: the chart has no such scope; the message names the nearest one.
        """
        chart = self._trainer.topology.chart
        known = list(dict.fromkeys(map(scope_name, chart.scopes)))
        name = chart.scope("run") if scope is None else scope
        if name not in known:
            raise ValueError(
                f"there is no scope {name!r}{did_you_mean(str(name), known)}; "
                f"scopes are {', '.join(known)}"
            )
        if self.done():
            return False
        try:
            self._trainer.request(cancel_for(name)(reason))
        except IllegalCancelError:  # the run has just ended
            return False
        return True

    def result(self, timeout: float | None = None) -> TrainState:
        """Wait until the fit has ended, and return its state.

        Raises:
            TimeoutError: the fit has not ended after `timeout` seconds; it continues.
            RuntimeError: called from the fit's own thread, which would wait for itself.
            BaseException: the error of the fit.
        """
        self._check_thread("result")
        error = super().exception(timeout)
        if error is not None:  # Future.result would ask the error whether it is true
            try:
                raise error
            finally:
                del self, error  # its traceback holds this frame
        return super().result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait until the fit has ended, and return its error or None. Raises: as `result`."""
        self._check_thread("exception")
        return super().exception(timeout)

    def wait_for(self, phase: str, timeout: float | None = None) -> bool:
        """Wait until the run is in `phase` or inside it: `fit.epoch.validate`, `completed`.

        Returns:
            True as soon as the run gets there; False if it ends before.

        Raises:
            ValueError: the phase is not in the chart; the message names the nearest one.
            TimeoutError: neither happened within `timeout` seconds.
            RuntimeError: called from the fit's own thread.
        """
        self._check_phase(phase)
        self._check_thread("wait_for")
        reached = threading.Event()

        def watch(trainer: Any, state: TrainState, transition: Transition) -> None:
            if inside(transition.destination, phase):
                reached.set()
                self._notify()

        self._trainer.on("any_transition")(watch)
        try:
            if open_scopes(live := self._trainer.state.phase) and inside(live, phase):
                reached.set()
            with self._status_changed:
                self._status_changed.wait_for(lambda: reached.is_set() or self.done(), timeout)
        finally:
            self._trainer.detach(watch)
        if not reached.is_set() and not self.done():
            raise TimeoutError(f"not in {phase} after {timeout} s, but {self.status().phase}")
        return reached.is_set() or inside(self.status().phase, phase)

    def __await__(self) -> Generator[Any, None, TrainState]:
        return asyncio.wrap_future(self).__await__()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel(reason="its with block was left")
        self._thread.join()
        if error is None:
            self.result()
        elif (failure := self.exception()) is not None and failure is not error:
            add_note(error, f"trackside: the fit failed, too: {traceback_text(failure)}")

    def _run_to_end(self, transitions: Iterator[Transition]) -> None:
        error: BaseException | None = None
        try:
            deque(transitions, maxlen=0)
        except BaseException as raised:
            error = raised
        try:
            self._finish()
        except BaseException:  # of a receiver that prepares for transitions, or of the log
            with suppress(BaseException):
                log.exception("a run could not be ended in order")
        finally:  # nobody waits for ever
            self._set_done(error)

    def _on_begin(self, trainer: Any, state: TrainState, transition: Transition) -> None:
        self._at_start = state.samples, state.progress().fraction or 0.0
        self._clock.start()
        self._started.set()

    def _finish(self) -> None:
        self._clock.stop()
        try:
            self._final_status = self._read_status()._replace(left=0.0)
        except BaseException:  # a loader's `len` may raise a cancel, too
            log.exception("a handler or loader has left what a status cannot be read of")
            self._final_status = unreadable_status(self._trainer.state, self._clock.seconds)
        if self._on_begin in self._trainer.handlers:  # not if it has run, or was broken off
            self._trainer.detach(self._on_begin)

    def _set_done(self, error: BaseException | None) -> None:
        _live_runs.discard(self)
        try:
            if error is None:
                self.set_result(self._trainer.state)
            else:
                self.set_exception(error)
        finally:
            self._started.set()
            self._notify()

    def _notify(self) -> None:
        with self._status_changed:
            self._status_changed.notify_all()

    def _read_status(self) -> Status:
        paused = self._trainer.requests.paused
        return read_status(self._trainer.state, self._clock, paused, self._at_start or (0, 0.0))

    def _check_thread(self, tried: str) -> None:
        if threading.current_thread() is self._thread and not self.done():
            raise RuntimeError(
                f"cannot call {tried} in the thread of the fit, which would wait for itself; "
                "allowed there: status, pause, resume, cancel"
            )

    def _check_phase(self, phase: str) -> None:
        known = (*self._trainer.topology.leaves, *self._trainer.topology.scopes)
        if phase not in known:
            raise ValueError(
                f"there is no phase {phase!r}{did_you_mean(phase, known)}; "
                f"phases are {', '.join(known)}"
            )


_live_runs: set[Run] = set()


@functools.cache
def _cancel_at_exit() -> None:
    """Register once, when the first run begins: exit hooks registered later run before it."""
    atexit.register(_cancel_live_runs)


def _cancel_live_runs() -> None:
    runs = tuple(_live_runs)
    for run in runs:
        run.cancel(reason="the process ends")
    for run in runs:
        run._thread.join()

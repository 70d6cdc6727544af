"""A fit in a thread of its own: watched, paused, cancelled and waited for from other threads."""

from __future__ import annotations

import asyncio
import atexit
import functools
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from ...events import CANCELS, IllegalCancelError, TrainState, Transition
from ...events.handler_discovery import did_you_mean
from ..loop.engine import Engine
from ..statechart.phase_paths import inside, open_scopes
from .run_progress import Status, Stopwatch, epochs_made, snapshot


class Run(Future[TrainState]):
    """A fit that `trainer.start` began; a `concurrent.futures.Future` of its `TrainState`.

    It serves in `concurrent.futures.wait` and `as_completed`; from asyncio it is awaited, and
    cancelling the task that awaits it cancels the fit. As a context manager it cancels the fit
    and joins the thread when the block is left, and raises what the fit has raised, if the block
    itself raised nothing. A cancelled fit has a result, as in `fit`: its state says how it ended.
    A process that ends cancels the fit, and waits until its scopes are closed.

    Raises:
        BaseException: what the fit raised before it began.
    """

    def __init__(self, trainer: Engine, transitions: Iterator[Transition]) -> None:
        super().__init__()
        self._trainer = trainer
        self._clock = Stopwatch()
        self._before: tuple[int, float] | None = None
        self._last: Status | None = None
        self._changed = threading.Condition()
        self._begun = threading.Event()
        name = " ".join(filter(None, ("trackside", trainer.name)))
        self._thread = threading.Thread(
            target=self._work, args=(transitions,), name=name, daemon=True
        )
        _alive.add(self)
        _leave_at_exit()
        self.set_running_or_notify_cancel()
        trainer.on("any_transition", once=True)(self._begin)
        self._thread.start()
        self._begun.wait()
        if self._before is None:
            self.result()

    def status(self) -> Status:
        """The run at this moment. Cost: no device sync, and nothing for the run."""
        return self._last or self._snapshot()

    def pause(self) -> None:
        """Have the run stand still from its next transition on; a cancel still takes effect."""
        if not self.done():
            self._clock.stop()
            self._trainer.requests.hold()

    def resume(self) -> None:
        """Have a run that was paused go on."""
        if not self.done():
            self._clock.go()
            self._trainer.requests.release()

    def cancel(self, scope: str = "fit", reason: str = "") -> bool:
        """Close `scope`, one of `trackside.events.CANCELS`, at the next transition.

        See `Engine.request` for a scope that is not open. Where cancels of a chart of your own
        are meant, there is `trainer.request`.

        Returns:
            Whether it was asked for: False when the run is done.

        Raises:
            ValueError: there is no such scope; the nearest is named.
        """
        if scope not in CANCELS:
            raise ValueError(
                f"there is no scope {scope!r}{did_you_mean(scope, CANCELS)}; "
                f"scopes are {', '.join(CANCELS)}"
            )
        if self.done():
            return False
        try:
            self._trainer.request(CANCELS[scope](reason))
        except IllegalCancelError:  # it has just ended
            return False
        return True

    def result(self, timeout: float | None = None) -> TrainState:
        """The state, when the fit has ended; waits for that.

        Raises:
            TimeoutError: it has not ended after `timeout` seconds; it goes on.
            RuntimeError: called from the fit's own thread, which would wait for itself.
            BaseException: what the fit has raised.
        """
        self._check_thread("result")
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the fit has raised, when it has ended; None if nothing. Raises: as `result`."""
        self._check_thread("exception")
        return super().exception(timeout)

    def wait_for(self, phase: str, timeout: float | None = None) -> bool:
        """Wait until the run is in `phase`, or inside it: `fit.epoch.validate`, `completed`.

        Returns:
            True as soon as the run gets there; False if it ends without.

        Raises:
            ValueError: the chart has no such phase; the nearest is named.
            TimeoutError: neither has happened after `timeout` seconds.
            RuntimeError: called from the fit's own thread.
        """
        self._check_phase(phase)
        self._check_thread("wait_for")
        reached = threading.Event()

        def watch(trainer: Any, state: TrainState, transition: Transition) -> None:
            if inside(transition.destination, phase):
                reached.set()
                self._tell()

        self._trainer.on("any_transition")(watch)
        try:
            if open_scopes(live := self._trainer.state.phase) and inside(live, phase):
                reached.set()
            with self._changed:
                self._changed.wait_for(lambda: reached.is_set() or self._last, timeout)
        finally:
            self._trainer.detach(watch)
        if not reached.is_set() and self._last is None:
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
        self.cancel("fit", "its with block was left")
        self._thread.join()
        if error is None:
            self.result()

    def _work(self, transitions: Iterator[Transition]) -> None:
        try:
            for _ in transitions:
                pass
        except BaseException as error:
            self._end()
            self.set_exception(error)
        else:
            self._end()
            self.set_result(self._trainer.state)

    def _begin(self, trainer: Any, state: TrainState, transition: Transition) -> None:
        self._before = state.samples, epochs_made(state) or 0.0
        self._clock.go()
        self._begun.set()

    def _end(self) -> None:
        self._clock.stop()
        self._last = self._snapshot()._replace(left=0.0)
        if self._before is None:
            self._trainer.detach(self._begin)
        self._begun.set()
        self._tell()
        _alive.discard(self)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _snapshot(self) -> Status:
        paused = self._trainer.requests.standing
        return snapshot(self._trainer.state, self._clock, paused, self._before or (0, 0.0))

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


_alive: set[Run] = set()


@functools.cache
def _leave_at_exit() -> None:
    """Once, when the first run begins: handlers of libraries imported later end before it."""
    atexit.register(_leave)


def _leave() -> None:
    alive = tuple(_alive)
    for run in alive:
        run.cancel("fit", "the process ends")
    for run in alive:
        run._thread.join()

"""Ending in good order when the machine is taken away."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import FrameType
from typing import Any

from ...events import CancelFitException, TrainerProtocol, TrainState
from .._stateful import Saved
from .checkpoint import Checkpoint

Activity = Callable[[TrainState], str]

log = logging.getLogger("trackside")

USUAL = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
"""By which schedulers ask a process to end."""


class Preemption(Saved):
    """Saves the fit and ends the process when a signal of the operating system asks for it.

    The signal is noticed between two batches, in training as in validation, and between two
    epochs: a `Checkpoint` saves, every scope closes, and the process exits with the code 128 + the
    number of the signal, 143 for SIGTERM, as shells know it. What is under way is not broken off:
    a fetch, a compilation, the batch itself. `fit(resume=…)` goes on as if nothing had happened.
    Signals are handled while a fit runs, and then as they were before.

    Signals: begin_fit, resumed, after_fit; wraps fetch and ready
    Reads: job; the trainer's handlers
    Raises: CancelFitException, then SystemExit; RuntimeError when the fit begins outside of the
        main thread, or without a Checkpoint that saves on a cancel; wrong arguments at once
    Cost: no sync

    Args:
        signals: which to handle; SIGTERM and SIGUSR1, if nothing is said.

    Attributes:
        received: the last one that came in this fit; None before the first.
    """

    def __init__(self, signals: Iterable[int] = USUAL) -> None:
        self.signals = tuple(signal.Signals(number) for number in signals)
        if not self.signals:
            raise ValueError("Preemption(signals=()): allowed: at least one signal")
        for number in self.signals:
            if number.name in ("SIGKILL", "SIGSTOP"):
                raise ValueError(f"Preemption: no process can handle {number.name}")
        self.received: signal.Signals | None = None
        self._found = ExitStack()

    def detached(self, trainer: TrainerProtocol) -> None:
        self._found.close()

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._begin(trainer)

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._begin(trainer)

    def wrap_ready(self, ready: Activity) -> Activity:
        def noticing(state: TrainState) -> str:
            self._notice(state)
            return ready(state)

        return noticing

    def wrap_fetch(self, fetch: Activity) -> Activity:
        def noticing(state: TrainState) -> str:
            self._notice(state)
            try:
                return fetch(state)
            except RuntimeError:  # the signal may have ended the loader's workers, too
                self._notice(state)
                raise

        return noticing

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._found.close()
        if self.received is not None:
            raise SystemExit(128 + self.received)

    def _begin(self, trainer: TrainerProtocol) -> None:
        self.received = None
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "Preemption handles signals, which Python does in the main thread alone; this fit "
                f"runs in {threading.current_thread().name}: call trainer.fit in the main thread"
            )
        if not any(isinstance(h, Checkpoint) and h.on_cancel for h in trainer.handlers):
            raise RuntimeError(
                "Preemption ends the process when the fit is saved, and nothing would save it: "
                "attach a Checkpoint with on_cancel=True"
            )
        for number in self.signals:
            self._handle(number, self._receive)

    def _handle(self, number: signal.Signals, handler: Any) -> None:
        before = signal.getsignal(number)
        if before is None:
            raise RuntimeError(
                f"{number.name} has a handler that was not installed from Python, and could not be "
                f"restored; allowed: Preemption without it, signals={self.signals}"
            )
        signal.signal(number, handler)
        self._found.callback(signal.signal, number, before)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        child = getattr(signal, "SIGCHLD", None)
        if self.received is None and child and callable(signal.getsignal(child)):
            # a loader's workers may get the signal, too, and torch would break off the live batch
            self._handle(child, signal.SIG_DFL)
        self.received = signal.Signals(number)

    def _notice(self, state: TrainState) -> None:
        if self.received is not None and state.job == "fit":
            log.warning("received %s: the fit is saved, and ends", self.received.name)
            raise CancelFitException(f"received {self.received.name}")

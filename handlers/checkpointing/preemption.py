"""Save a fit and exit when the machine is about to be taken away."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import FrameType
from typing import Any, ClassVar

from ...events import CancelFitException, OwnName, RehearsalPlan, TrainerProtocol, TrainState
from .._copying import LeftOut
from .._ranks import gather_over_ranks
from .._stateful import Stateful
from .checkpoint import Checkpoint

Activity = Callable[[TrainState], str]

log = logging.getLogger("trackside")

DEFAULT_SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)
]
"""Sent by cluster schedulers before they end a process."""


class Preemption(Stateful):
    """Saves the fit and exits the process after a signal of the operating system.

    The signal takes effect between two batches, in training and in validation, and between two
    epochs: a `Checkpoint` saves, every scope closes, and the process exits with the code 128 + the
    number of the signal, 143 for SIGTERM, which is what shells expect. A fetch, a compilation and
    the current batch are completed first. `fit(resume=…)` continues the fit bit for bit. The signal
    handlers are installed while a fit runs, and the earlier ones are restored when it ends.

    With Distributed a signal to one rank is enough: after its current batch all ranks save, and all
    exit with the same code.

    Signals: begin_fit, resumed, after_fit, with several ranks those that close a batch and an
        epoch; wraps fetch and ready
    Reads: job, unit_scope, round_scope, world_size, outcome; the trainer's handlers
    Raises: CancelFitException, then SystemExit; RuntimeError if the fit begins outside of the main
        thread, or without a Checkpoint that saves on a cancel; bad arguments in `__init__`
    Cost: no sync; with several ranks one exchange when the fit ends
    Does not: break off a batch, a fetch or a compilation, or save: a `Checkpoint` does

    Args:
        signals: which signals to handle; SIGTERM and SIGUSR1 by default.

    Attributes:
        received: the last signal received in this fit, by this rank, and after the fit by any;
            None before the first.
    """

    reads = ("job", "unit_scope", "round_scope", "world_size", "outcome")

    left_out: ClassVar[LeftOut] = {"_saved_handlers": ExitStack}

    def __init__(self, signals: Iterable[int] = DEFAULT_SIGNALS) -> None:
        self.signals = tuple(signal.Signals(number) for number in signals)
        if not self.signals:
            raise ValueError("Preemption(signals=()): allowed: at least one signal")
        for number in self.signals:
            if number.name in ("SIGKILL", "SIGSTOP"):
                raise ValueError(f"Preemption: no process can handle {number.name}")
        self.received: signal.Signals | None = None
        self._saved_handlers = ExitStack()

    def detached(self, trainer: TrainerProtocol) -> None:
        self._saved_handlers.close()

    def rehearse(self, plan: RehearsalPlan) -> None:
        """Install no signal handler."""

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._install(trainer)

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._install(trainer)

    def wrap_ready(self, ready: Activity) -> Activity:
        def check_and_continue(state: TrainState) -> str:
            if state.world_size == 1:
                self._cancel_if_received(state)
            return ready(state)

        return check_and_continue

    def wrap_fetch(self, fetch: Activity) -> Activity:
        def check_and_fetch(state: TrainState) -> str:
            if state.world_size > 1:
                return fetch(state)
            self._cancel_if_received(state)
            try:
                return fetch(state)
            except RuntimeError:  # the signal may have killed the loader's workers, too
                self._cancel_if_received(state)
                raise

        return check_and_fetch

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._saved_handlers.close()
        if state.world_size > 1 and state.outcome != "failed":
            received = gather_over_ranks(self.received, "a signal that was received")
            self.received = next((one for one in received if one is not None), None)
        if self.received is not None:
            raise SystemExit(128 + self.received)

    def _install(self, trainer: TrainerProtocol) -> None:
        self.received = None
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "Preemption handles signals, which Python does only in the main thread; this fit "
                f"runs in {threading.current_thread().name}: call trainer.fit in the main thread"
            )
        if not any(isinstance(h, Checkpoint) and h.on_cancel for h in trainer.handlers):
            raise RuntimeError(
                "Preemption exits the process after the fit is saved, and nothing would save it: "
                "attach a Checkpoint with on_cancel=True"
            )
        if trainer.state.world_size > 1:
            self._listen_between_batches(trainer)
        for number in self.signals:
            self._handle(number, self._receive)

    def _listen_between_batches(self, trainer: TrainerProtocol) -> None:
        """Cancel in signals, at which all ranks vote: in a fetch they may wait for each other."""
        state = trainer.state
        for scope in filter(None, (state.unit_scope, state.round_scope)):
            trainer.on(OwnName(f"after_{scope}"))(self._check)
        self._saved_handlers.callback(trainer.detach, self._check)

    def _handle(self, number: signal.Signals, handler: Any) -> None:
        before = signal.getsignal(number)
        if before is None:
            raise RuntimeError(
                f"{number.name} has a handler that was not installed from Python, and could not be "
                f"restored; allowed: Preemption without it, signals={self.signals}"
            )
        signal.signal(number, handler)
        self._saved_handlers.callback(signal.signal, number, before)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        child = getattr(signal, "SIGCHLD", None)
        if self.received is None and child and callable(signal.getsignal(child)):
            # a loader's workers may get the signal, too; torch would then interrupt the batch
            self._handle(child, signal.SIG_DFL)
        self.received = signal.Signals(number)

    def _check(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._cancel_if_received(state)

    def _cancel_if_received(self, state: TrainState) -> None:
        if self.received is not None and state.job == "fit":
            log.warning("received %s: the fit is saved, and ends", self.received.name)
            raise CancelFitException(f"received {self.received.name}")

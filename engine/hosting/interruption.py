"""Signals of the operating system that end a fit in good order: opt-in, for the main thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from ...events import CancelFitException, IllegalCancelError, TrainState
from ..loop.engine import Engine

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """What has come of the signals in an `interruptible` block.

    Attributes:
        signal: the first signal received, None if there was none; `128 + signal` is the exit code
            by which shells know it.
    """

    def __init__(self, trainer: Engine) -> None:
        self.signal: signal.Signals | None = None
        self._trainer = trainer

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Ask for the end of the fit, the first time; interrupt what is running, the second."""
        if self.signal is not None:
            raise KeyboardInterrupt(f"{signal.Signals(number).name}, after {self.signal.name}")
        self.signal = signal.Signals(number)
        try:
            self._trainer.request(self._cancel())
        except (IllegalCancelError, ValueError):  # between two fits: `begin_fit` will tell
            return

    def begin_fit(self, trainer: Any, state: TrainState) -> None:
        if self.signal is not None:
            self._trainer.request(self._cancel())

    resumed = begin_fit

    def state_dict(self) -> dict[str, Any]:
        """Nothing: what this process was asked is not asked of the one in which the fit goes on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to load."""

    def _cancel(self) -> CancelFitException:
        assert self.signal is not None
        return CancelFitException(f"received {self.signal.name}")


@contextmanager
def interruptible(trainer: Engine) -> Iterator[Interruption]:
    """Have SIGINT and SIGTERM cancel the fit of `trainer` while the block runs.

    The first one becomes a request (see `Engine.request`): scopes close, `fit` returns. A fit that
    begins in the block after it is cancelled as it begins. The second raises KeyboardInterrupt.
    When the block is left the handlers are again those that were found.

    Raises:
        RuntimeError: this is not the main thread, where alone signals can be handled; or a signal
            has a handler that was not installed from Python, which could not be restored.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "interruptible handles signals, which Python does in the main thread alone; from "
            f"{threading.current_thread().name} use trainer.request(CancelFitException(…))"
        )
    interruption = Interruption(trainer)
    found = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in found.items():
        if handler is None:
            raise RuntimeError(
                f"{number.name} has a handler that was not installed from Python, and could not "
                "be restored; remove it, or use trainer.request(CancelFitException(…))"
            )
    with trainer.attach(interruption), ExitStack() as restored:
        for number, handler in found.items():
            restored.callback(signal.signal, number, handler)
            signal.signal(number, interruption.receive)
        yield interruption

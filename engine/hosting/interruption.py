"""Cancel a fit on SIGINT or SIGTERM; opt-in, and only in the main thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from ...events import Cancel, IllegalCancelError, TrainState, cancel_for
from ..engine import Engine

HANDLED_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """The signal received in an `interruptible` block.

    Attributes:
        signal: the first signal received, or None; `128 + signal` is the usual exit code for it.
    """

    def __init__(self, trainer: Engine) -> None:
        self.signal: signal.Signals | None = None
        self._trainer = trainer

    def receive(self, number: int, frame: FrameType | None) -> None:
        """First signal: request a cancel of the fit. Second: raise KeyboardInterrupt."""
        if self.signal is not None:
            raise KeyboardInterrupt(f"{signal.Signals(number).name}, after {self.signal.name}")
        self.signal = signal.Signals(number)
        try:
            self._trainer.request(self._cancel())
        except (IllegalCancelError, ValueError):  # between two fits: `begin_fit` requests it
            return

    def begin_fit(self, trainer: Any, state: TrainState) -> None:
        if self.signal is not None:
            self._trainer.request(self._cancel())

    resumed = begin_fit

    def state_dict(self) -> dict[str, Any]:
        """Empty: a resumed fit does not inherit the signal of this process."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Does nothing."""

    def _cancel(self) -> Cancel:
        assert self.signal is not None
        run = self._trainer.topology.chart.scope("run") or "fit"
        return cancel_for(run)(f"received {self.signal.name}")


@contextmanager
def interruptible(trainer: Engine) -> Iterator[Interruption]:
    """Let SIGINT and SIGTERM cancel the fit of `trainer` while the block runs.

    The first signal requests a cancel (see `Engine.request`): scopes close, `fit` returns. A later
    fit in the block is cancelled as it begins. The second signal raises KeyboardInterrupt. The
    previous signal handlers are restored when the block ends.

    Raises:
        RuntimeError: not in the main thread, the only one that can handle signals; or a signal has
            a handler that was not installed from Python, which could not be restored.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "interruptible handles signals, which Python allows only in the main thread; in "
            f"{threading.current_thread().name} use trainer.request(CancelFitException(…))"
        )
    interruption = Interruption(trainer)
    previous = {number: signal.getsignal(number) for number in HANDLED_SIGNALS}
    for number, handler in previous.items():
        if handler is None:
            raise RuntimeError(
                f"{number.name} has a handler that was not installed from Python, and could not "
                "be restored; remove it, or use trainer.request(CancelFitException(…))"
            )
    with trainer.attach(interruption), ExitStack() as previous_handlers:
        for number, handler in previous.items():
            previous_handlers.callback(signal.signal, number, handler)
            signal.signal(number, interruption.receive)
        yield interruption

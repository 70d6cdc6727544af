"""Ctrl-C while Python imports: raised when the import has ended, and never lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_FIRST = (signal.default_int_handler, signal.SIG_DFL)
_SECONDS = 0.005


@contextmanager
def interrupts_after_imports() -> Iterator[None]:
    """Raise the KeyboardInterrupt of Ctrl-C outside of imports only, at the latest at the end.

    Libraries, torch among them, try to import others and catch what that raises: the fit would go
    on, with a library that is half imported. A second one within the import ends the process.

    Does nothing in another thread than the main one, and where the host has a handler of its own.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if (
        not (is_main and hasattr(signal, "setitimer"))
        or signal.getsignal(signal.SIGINT) not in _FIRST
    ):
        yield
        return
    interrupt = _Interrupt()
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        was_pending = interrupt.forget()
        signal.signal(signal.SIGINT, before)
        if was_pending:
            raise KeyboardInterrupt


class _Interrupt:
    """A handler of SIGINT; a timer of the system asks again until no import is under way."""

    def __init__(self) -> None:
        self._is_pending = False
        self._alarm = signal.getsignal(signal.SIGALRM) or signal.SIG_DFL

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not _is_importing(frame):
            self.forget()
            raise KeyboardInterrupt
        if self._is_pending:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        self._is_pending = True
        signal.signal(signal.SIGALRM, self._ask_again)
        signal.setitimer(signal.ITIMER_REAL, _SECONDS)

    def forget(self) -> bool:
        """Raise nothing from now on. Returns: whether an interrupt was still to be raised."""
        was_pending, self._is_pending = self._is_pending, False
        if was_pending:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._alarm)
        return was_pending

    def _ask_again(self, number: int, frame: FrameType | None) -> None:
        if not self._is_pending:
            return
        if _is_importing(frame):
            signal.setitimer(signal.ITIMER_REAL, _SECONDS)
            return
        self.forget()
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False

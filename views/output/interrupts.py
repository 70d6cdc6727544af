"""Ctrl-C while Python imports: raised when the import has ended, and never lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_FIRST = (signal.default_int_handler, signal.SIG_DFL)
_SECONDS = 0.005


@contextmanager
def interrupts_after_imports() -> Iterator[None]:
    """Raise the KeyboardInterrupt of Ctrl-C outside of imports only; a second one anywhere.

    Libraries, torch among them, try to import others and catch what that raises: the fit would go
    on, with a library that is half imported.

    Does nothing in another thread than the main one, and where the host has a handler of its own.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if (
        not (is_main and hasattr(signal, "pthread_kill"))
        or signal.getsignal(signal.SIGINT) not in _FIRST
    ):
        yield
        return
    before = signal.signal(signal.SIGINT, _Interrupt())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Interrupt:
    """A handler of SIGINT; a thread sends the signal again until no import is under way."""

    def __init__(self) -> None:
        self._is_pending = self._is_sent_again = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        is_second = self._is_pending and not self._is_sent_again
        self._is_sent_again = False
        self._is_pending = not is_second and _is_importing(frame)
        if not self._is_pending:
            raise KeyboardInterrupt
        threading.Thread(target=self._send_again, daemon=True).start()

    def _send_again(self) -> None:
        time.sleep(_SECONDS)
        self._is_sent_again = True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False

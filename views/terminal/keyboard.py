"""Read single keys from the terminal while something is drawn."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1b[4~": "end",
    "\t": "right",
    "\x1b[Z": "left",
    " ": "page down",
    "k": "up",
    "j": "down",
    "h": "left",
    "l": "right",
    "g": "home",
    "G": "end",
}
_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)


class Keyboard:
    """Keys as they are pressed.

    Args:
        descriptor: of the terminal; None: there is none, and no key is ever pressed.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @property
    def is_there(self) -> bool:
        """Whether somebody can press a key."""
        return self._descriptor is not None

    def keys(self, seconds: float) -> list[str]:
        """The keys that were pressed; waits for one, at most so long.

        A letter, or "up", "down", "left", "right", "page up", "page down", "home", "end".
        """
        if self._descriptor is None:
            time.sleep(seconds)
            return []
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return []
        typed = os.read(self._descriptor, 1024)
        if not typed:  # the terminal was closed
            self._descriptor = None
        return [name_of(key) for key in _KEY.findall(typed.decode(errors="ignore"))]


def name_of(key: str) -> str:
    """The name of a key by the characters that a terminal sends for it."""
    return _NAMES.get(key.replace("\x1bO", "\x1b["), key)


@contextmanager
def open_keyboard() -> Iterator[Keyboard]:
    """The keyboard of the terminal, which does not show what is typed until the block is left.

    SIGTERM leaves the block by a SystemExit, so that the terminal is left as it was found.
    """
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        with _unbuffered_keyboard() as keyboard:
            yield keyboard
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _unbuffered_keyboard() -> Iterator[Keyboard]:
    try:
        import termios
        import tty
    except ImportError:  # on Windows
        yield Keyboard(None)
        return
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):  # no terminal
        yield Keyboard(None)
        return
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

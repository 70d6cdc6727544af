"""The parent's side of a contender's process: start it, run its rounds, read its answers."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import termios
import threading
from typing import Any

from environments import HERE, python_of

Pairs = list[tuple[float, float]]
"""µs per batch of each stretch: of the contender, and of the paired bare loop."""


class DiedError(RuntimeError):
    """A contender's process ended before it answered; the message is the end of its output."""


class Contender:
    """One process for one setting and work. It has a terminal, so that progress bars are drawn."""

    def __init__(self, name: str, setting: str, work: str, script: str = "worker.py") -> None:
        self.name = name
        self.rounds: list[Pairs] = []
        self._shown = bytearray()
        self._terminal, side = pty.openpty()
        termios.tcsetwinsize(side, (24, 100))
        self._process = subprocess.Popen(
            [python_of(name), HERE / script, name, setting, work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=side,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm"},
        )
        os.close(side)
        threading.Thread(target=self._drain, daemon=True).start()

    def round(self) -> None:
        """Run one fit.

        Raises:
            DiedError: the process ended.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("round\n")
            self._process.stdin.flush()
        self.rounds.append(self._answer()["pairs"])

    def end(self) -> dict[str, Any]:
        """End the process; return the worker's last report: weights, peak memory, callback counts.

        Raises:
            DiedError: the process ended without a report.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        answer = self._answer()
        self._process.wait()
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            said = self._shown.decode(errors="replace").split()
            raise DiedError(" ".join(said[-40:]))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _drain(self) -> None:
        with contextlib.suppress(OSError):  # raised when the other side of the terminal is closed
            while shown := os.read(self._terminal, 65536):
                self._shown += shown
                del self._shown[:-4000]
        os.close(self._terminal)


def import_ms(name: str, module: str) -> float:
    """Milliseconds to import a module in a fresh process of a contender, after torch."""
    command = [python_of(name), HERE / "worker.py", name, "import", module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DiedError(done.stderr[-300:])
    found: float = json.loads(done.stdout)["import_ms"]
    return found

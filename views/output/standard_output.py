"""Standard output that nobody reads any more, that is full, or that cannot have every character."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO, cast

_PLAIN: dict[int, int | str] = {ord("…"): "...", ord("→"): "->", ord("±"): "+-"}
_PLAIN |= str.maketrans("µ×·›▸←↑↓█▉▊▋▌▍▎▏▁▂▃▄▅▆▇", "ux->><^v#|||||||___====")


class OutputError(Exception):
    """Standard output cannot be written: its reader has closed the pipe, or the disk is full."""


@contextmanager
def checked_output() -> Iterator[None]:
    """Raise an `OutputError` for what is printed in the block and cannot be written.

    It is written before the block ends: at the exit of Python an error would have no receiver.

    Raises:
        OutputError: standard output goes nowhere from then on.
    """
    if sys.stdout is None:  # the process was started without one
        yield
        return
    output = _CheckedStream(sys.stdout)
    with redirect_stdout(cast(TextIO, output)):
        try:
            yield
        except SystemExit:
            output.flush()
            raise
        except BaseException:
            with suppress(OutputError):
                output.flush()
            raise
        output.flush()


class _CheckedStream:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._errors():
            return self._stream.write(_encodable(text, self._stream.encoding))

    def flush(self) -> None:
        with self._errors():
            self._stream.flush()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
            raise OutputError(f"cannot write the output: {error.strerror}") from None


def _encodable(text: str, encoding: str | None) -> str:
    """The text, with other characters for those that the encoding has not: `12 us` for `12 µs`."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(str(encoding), "replace").decode(str(encoding))
    return text

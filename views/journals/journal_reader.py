"""Read a journal line by line, in constant memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]
Span = tuple[int, int]

FORMAT = 1
"""The newest that is read; that of `handlers.recording.journal`, whose import imports torch."""

POSITION = ("epoch", "batch", "step", "samples")
_HEADER = ("fields", "full", "every", "blame", "rows")
_KEY = ("trigger", "from", "to", *POSITION)


class JournalError(ValueError):
    """A file is not a journal, or a newer one, or one of its lines cannot be read."""


class JournalReader:
    """The lines of a journal, as if its fit had never been interrupted.

    What a killed process wrote after the checkpoint that was resumed is left out: it is in the
    file a second time.

    Attributes:
        header: its first line: the observed fields, the handlers, the rows of the chart.
        cut_off: whether the last line is incomplete, as a killed process leaves it; it is left out.

    Raises:
        JournalError: the file cannot be read, is not a journal, or a newer trackside wrote it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.cut_off = False
        first = next(self._raw([(0, 1 << 62)]), None)
        self.header: Line = {} if first is None else self._parsed(*first)
        written = self.header.get("journal")
        if type(written) is int and written > FORMAT:
            raise JournalError(
                f"{path}: a newer trackside wrote it in format {written}; this one reads formats "
                f"up to {FORMAT}"
            )
        if written != FORMAT:
            raise JournalError(f"{path} is not a journal: its first line is not a header of one")
        if missing := [name for name in _HEADER if name not in self.header]:
            raise JournalError(f"the header of the journal {path} has no {', '.join(missing)}")
        self._spans = self._uninterrupted()

    def __iter__(self) -> Iterator[Line]:
        for offset, line in self._raw(self._spans):
            parsed = self._parsed(offset, line)
            if "journal" not in parsed:
                yield parsed

    def _raw(self, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
        """Where each line begins, and the line."""
        try:
            with self.path.open("rb") as file:
                for start, end in spans:
                    file.seek(start)
                    offset = start
                    while offset < end and (line := file.readline()):
                        if line.endswith(b"\n"):
                            yield offset, line
                        else:
                            self.cut_off = True
                        offset += len(line)
        except OSError as error:
            raise JournalError(f"cannot read {self.path}: {error.strerror}") from None

    def _parsed(self, offset: int, line: bytes) -> Line:
        try:
            parsed = json.loads(line)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise JournalError(
                f"{self.path} is not a journal: at byte {offset} is {line[:60]!r}, which is not "
                "an object of JSON"
            )
        return parsed

    def _uninterrupted(self) -> list[Span]:
        """The spans of the file without what was done again after a resume."""
        spans: list[Span] = []
        start, resumed = 0, None
        for offset, line in self._raw([(0, 1 << 62)]):
            if line.startswith(b'{"resumed"'):
                resumed = offset
            elif resumed is not None and line.startswith(b'{"trigger"'):
                earlier = [*spans, (start, resumed)]
                spans = self._up_to(earlier, position_key(self._parsed(offset, line)))
                start, resumed = resumed, None
        return [*spans, (start, 1 << 62)]

    def _up_to(self, spans: list[Span], key: tuple[Any, ...]) -> list[Span]:
        """`spans` until the last line with this key; all of them if no line has it."""
        found = None
        for offset, line in self._raw(spans):
            if line.startswith(b'{"trigger"') and position_key(self._parsed(offset, line)) == key:
                found = offset
        if found is None:
            return spans
        return [(start, min(end, found)) for start, end in spans if start < found]


def position_key(line: Line) -> tuple[Any, ...]:
    """Which transition this is, and where in the fit."""
    return tuple(line.get(name) for name in _KEY)

"""What the page is told of a recording: once how it begins, and then what is new."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..recordings.recording import CHUNK, Recording
from ..recordings.records import Row
from ..recordings.run_health import Status, status
from ..recordings.symbol_table import Entry
from ..recordings.totals import Total, totals

KINDS = ("transition", "receiver", "cancel", "error", "scalar")


class Update(NamedTuple):
    """What is new."""

    message: dict[str, Any]
    """JSON: lines of the table, totals, how the run is, whether records were lost."""
    records: bytes
    """16 bytes each; all 0 where one is not whole."""
    next: int
    """The number of the record that comes next."""


class Feed:
    """A recording, as the page reads it from one position on.

    Raises:
        RecordingError: there is no recording at `path`.
    """

    def __init__(self, path: Path) -> None:
        self._recording = Recording(path)
        self._told = dict.fromkeys(KINDS, 0)
        self._status: Status | None = None

    def close(self) -> None:
        """Read no more."""
        self._recording.close()

    @property
    def replaced(self) -> bool:
        """Whether another recording is at the path now."""
        return self._recording.replaced

    @property
    def run(self) -> str:
        """Names the recording among those that were at this path."""
        meta = self._recording.meta
        return f"{meta.pid}.{meta.monotonic_ns}"

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those of the chart of the fit."""
        return self._recording.meta.rows

    def begin(self) -> dict[str, Any]:
        """Which run it is. The clock is a text: a number of the page holds less."""
        meta = self._recording.meta
        return meta._asdict() | {"monotonic_ns": str(meta.monotonic_ns)}

    def update(self, position: int, most: int = CHUNK, look: bool = True) -> Update:
        """What is new since record number `position`; at most so many records.

        `look`: find out how the run is, which reads some thousand records; else as last time.
        """
        recording = self._recording
        chunk = recording.chunk(position, most)
        if look or self._status is None:
            self._status = status(recording)
        message = {
            "table": self._new_entries(),
            "totals": self._totals(),
            "lost": chunk.first > position,
            "live": self._live(self._status),
        }
        return Update(message, chunk.data, chunk.end)

    def _new_entries(self) -> list[list[Any]]:
        table = self._recording.table
        known: dict[str, Mapping[int, Entry]] = {kind: getattr(table, f"{kind}s") for kind in KINDS}
        lines = []
        for kind, entries in known.items():
            new = sorted(identity for identity in entries if identity > self._told[kind])
            lines += [[kind, identity, *entries[identity]] for identity in new]
            self._told[kind] = max([self._told[kind], *new])
        return lines

    def _totals(self) -> dict[str, list[list[int]]]:
        found, table = totals(self._recording), self._recording.table
        return {
            "transitions": _numbered(table.transitions, found.transitions),
            "receivers": _numbered(table.receivers, found.receivers),
        }

    def _live(self, seen: Status) -> dict[str, Any]:
        meta = self._recording.meta
        now = time.monotonic_ns() if seen.condition == "running" else seen.last_ns
        return {
            **self._recording.counters._asdict(),
            "now": max(0, now - meta.monotonic_ns),
            "status": "stuck" if seen.stuck else seen.condition,
            "phase": seen.phase,
            "receiver": seen.receiver,
            "reason": seen.reason,
            "usual": None if seen.usual is None else seen.usual * 1e9,
        }


def _numbered(entries: Mapping[int, Any], found: Mapping[Any, Total]) -> list[list[int]]:
    totals_of = ((identity, found.get(entry)) for identity, entry in entries.items())
    return [[identity, total.count, total.ns] for identity, total in totals_of if total]

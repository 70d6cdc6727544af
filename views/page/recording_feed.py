"""What the page needs from a recording: a description of the run, then updates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..recordings.recording import CHUNK, Recording
from ..recordings.run_health import Status, status
from ..recordings.symbol_table import Entry
from ..recordings.totals import Total, totals
from .process_load import ProcessLoad
from .run_numbers import metric_points

KINDS = ("transition", "receiver", "cancel", "error", "scalar")


class Update(NamedTuple):
    """What is new since a position."""

    message: dict[str, Any]
    """JSON: new entries of the symbol table, totals, run status, whether records were lost, how
    many are sent with it, how many are left."""
    records: bytes
    """16 bytes each; all 0 for a torn record."""
    next: int
    """The number of the record that follows them."""


class RecordingFeed:
    """Reads a recording for one page, from any position on.

    Raises:
        RecordingError: `path` cannot be read as a recording.
    """

    def __init__(self, path: Path) -> None:
        self._recording = Recording(path)
        self._sent = dict.fromkeys(KINDS, 0)
        self._status: Status | None = None
        self._process = ProcessLoad(self._recording.meta)
        self._load: dict[str, float] = {}

    def close(self) -> None:
        """Close the recording."""
        self._recording.close()

    @property
    def replaced(self) -> bool:
        """Whether the file at the path is another recording now."""
        return self._recording.replaced

    @property
    def run(self) -> str:
        """An id that differs between all recordings written to this path."""
        meta = self._recording.meta
        return f"{meta.pid}.{meta.monotonic_ns}"

    def begin(self) -> dict[str, Any]:
        """Describe the run. The clock is a string: JavaScript numbers have only 53 bits."""
        meta = self._recording.meta
        facts = meta._asdict() | {"monotonic_ns": str(meta.monotonic_ns)}
        return facts | {"metrics": metric_points(self._recording)}

    def update(self, position: int, most: int = CHUNK, refresh_status: bool = True) -> Update:
        """Read what is new since record number `position`.

        Args:
            position: 0-based number of the first record to read.
            most: records to read.
            refresh_status: compute the run's status again, which reads some thousand records;
                otherwise the update has the last one.
        """
        recording = self._recording
        end = recording.end  # what is recorded while this reads is for the next update
        chunk = recording.chunk(position, most)
        left = max(0, end - chunk.end) if chunk.data else 0  # a file that was cut has no more
        if refresh_status or self._status is None:
            self._status = status(recording)
            self._load = self._process.sample() if self._status.condition == "running" else {}
        message = {
            "table": self._new_entries(),
            "totals": self._totals(),
            "lost": chunk.first > position,
            "count": chunk.end - chunk.first,
            "left": left,
            "live": self._live(self._status),
        }
        return Update(message, chunk.data, chunk.end)

    def _new_entries(self) -> list[list[Any]]:
        table = self._recording.table
        known: dict[str, Mapping[int, Entry]] = {kind: getattr(table, f"{kind}s") for kind in KINDS}
        lines = []
        for kind, entries in known.items():
            new = sorted(identity for identity in entries if identity > self._sent[kind])
            lines += [[kind, identity, *entries[identity]] for identity in new]
            self._sent[kind] = max([self._sent[kind], *new])
        return lines

    def _totals(self) -> dict[str, list[list[int]]]:
        current, table = totals(self._recording), self._recording.table
        return {
            "transitions": _by_id(table.transitions, current.transitions),
            "receivers": _by_id(table.receivers, current.receivers),
        }

    def _live(self, current: Status) -> dict[str, Any]:
        meta = self._recording.meta
        now = time.monotonic_ns() if current.condition == "running" else current.last_ns
        return {
            **self._recording.counters._asdict(),
            "now": max(0, now - meta.monotonic_ns),
            "status": "stuck" if current.stuck else current.condition,
            "phase": current.phase,
            "receiver": current.receiver,
            "waits": current.waits,
            "reason": current.reason,
            "load": self._load,
            "pictures": self._recording.picture_revision,
            "usual": None if current.usual is None else current.usual * 1e9,
        }


def _by_id(entries: Mapping[int, Any], totals_of: Mapping[Any, Total]) -> list[list[int]]:
    known = ((identity, totals_of.get(entry)) for identity, entry in entries.items())
    return [[identity, total.count, total.ns] for identity, total in known if total]

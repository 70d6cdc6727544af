"""How a recorded run is: does it run, is it stuck, how did it end, where did it die?"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Literal

from ...handlers.recording import process_identity as process
from ...handlers.recording.format import Kind
from .recording import Recording
from .records import Counters, Meta, Record
from .symbol_table import TransitionEntry

Condition = Literal["waiting", "running", "ended", "died", "away"]

_STUCK = 10
_AT_LEAST = 1.0
_LOOKED_AT = 2**14


@dataclass(frozen=True)
class Status:
    """A run, seen from another process."""

    condition: Condition
    """waiting: no run has begun; running; ended; died: its process is gone, and it had not ended;
    away: it had not ended, and its process cannot be seen from here, on another machine."""
    phase: str
    """The live phase, or the last; "completed", "cancelled" or "failed" where the run has ended;
    empty before the first transition."""
    receiver: str
    """The receiver that was called last and has not returned; empty if there is none, or if the
    recorder times none."""
    counters: Counters
    reason: str
    """The cancel or the error that ended the run, or that is ending scopes now."""
    last_ns: int
    """When the last record was made, on the clock of the recording; 0 before the first."""
    idle: float | None
    """Seconds since then; None where the run does not go on, or its clock is not this machine's."""
    usual: float | None
    """Seconds that are usually spent in this phase: 99 of 100 stays were shorter; None if none
    was recorded."""

    @property
    def scopes(self) -> list[str]:
        """The scopes that are open, outermost first."""
        return self.phase.split(".")[:-1]

    @property
    def stuck(self) -> bool:
        """Whether nothing has happened for ten times as long as usual, and for a second."""
        if self.idle is None or self.usual is None:
            return False
        return self.idle > max(_STUCK * self.usual, _AT_LEAST)

    def __str__(self) -> str:
        where = " › ".join(self.phase.split("."))
        if self.condition == "ended":
            return f"{self.phase}{f': {self.reason}' if self.reason else ''}"
        if self.condition == "waiting":
            return "no run has begun"
        said = {"running": "stuck" if self.stuck else "running", "died": "died", "away": "was last"}
        held = f", called {self.receiver}" if self.receiver else ""
        return f"{said[self.condition]} in {where}{held}, {position(self.counters)}"


def status(recording: Recording) -> Status:
    """How the run is now. Cost: reads some of the newest records."""
    newest = _Newest(recording)
    entry = newest.entry
    phase = "" if entry is None else entry.destination
    condition = _condition(recording, phase)
    goes_on = condition == "running"
    return Status(
        condition=condition,
        phase=phase,
        receiver=newest.receiver if condition != "ended" else "",
        counters=recording.counters,
        reason=newest.reason,
        last_ns=newest.last_ns,
        idle=(time.monotonic_ns() - newest.last_ns) / 1e9 if goes_on else None,
        usual=newest.usual if goes_on else None,
    )


class _Newest:
    """What the newest records say: the last transition, and what followed it."""

    def __init__(self, recording: Recording) -> None:
        self._table = recording.table
        self._called: list[str] = []
        self._stays: dict[str, list[int]] = {}
        self.entry: TransitionEntry | None = None
        self.entered = self.last_ns = 0
        self.reason = ""
        for record in _tail(recording):
            self.last_ns = record.time_ns
            if record.kind == Kind.TRANSITION:
                self._enter(record)
            else:
                self._take(record)

    @property
    def receiver(self) -> str:
        """The receiver that was called last and has not returned."""
        return self._called[-1] if self._called else ""

    @property
    def usual(self) -> float | None:
        """Seconds: 99 of 100 stays in the phase were shorter."""
        stays = sorted(self._stays.get(self.entry.destination, ())) if self.entry else []
        return stays[len(stays) * 99 // 100] / 1e9 if stays else None

    def _enter(self, record: Record) -> None:
        if self.entry is not None:
            stay = record.time_ns - self.entered
            self._stays.setdefault(self.entry.destination, []).append(stay)
        self.entry, self.entered = self._table.transition(record.id), record.time_ns
        self._called.clear()
        if self.entry.trigger.startswith("begin_") or self.entry.destination == "completed":
            self.reason = ""

    def _take(self, record: Record) -> None:
        if record.kind == Kind.BEGIN_RECEIVER:
            self._called.append(self._table.receiver(record.id).name)
        elif record.kind == Kind.END_RECEIVER and self._called:
            self._called.pop()
        elif record.kind == Kind.CANCEL:
            self.reason = str(self._table.cancel(record.id))
        elif record.kind == Kind.ERROR:
            self.reason = str(self._table.error(record.id))


def _tail(recording: Recording) -> list[Record]:
    """The newest records: so many that a transition is among them, if there is one."""
    end, oldest, looked_at = recording.end, recording.start, _LOOKED_AT
    while True:
        start = max(oldest, end - looked_at)
        records = list(recording.records(start))
        if start == oldest or any(record.kind == Kind.TRANSITION for record in records):
            return records
        looked_at *= 16


def _condition(recording: Recording, phase: str) -> Condition:
    if phase and "." not in phase:
        return "ended"
    meta = recording.meta
    if not _here(meta):
        return "away"
    runs = process.start_time(meta.pid) in (meta.started, 0) and meta.boot == process.boot()
    if phase and (recording.closed or not runs):
        return "died"
    return "running" if phase else "waiting"


def _here(meta: Meta) -> bool:
    """Whether the process, or that there is none, can be seen from this one."""
    if meta.host == socket.gethostname() and meta.boot != process.boot():
        return True
    return meta.boot == process.boot() and meta.namespace == process.pid_namespace()


def position(counters: Counters) -> str:
    """`epoch 3 of 0 to 39, batch 57 of 0 to 59`: as in the TrainState, from 0."""
    places = [
        ("epoch", counters.epoch, counters.n_epochs),
        ("batch", counters.batch, counters.n_batches),
    ]
    return ", ".join(
        f"{name} {number}" + (f" of 0 to {total - 1}" if total else "")
        for name, number, total in places
        if number is not None
    )

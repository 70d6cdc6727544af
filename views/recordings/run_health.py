"""The health of a recorded run: running, stuck, ended or died, and in which phase."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Literal

from ...handlers.recording import process_identity
from ...handlers.recording.format import Kind
from ..output.counted_place import counted_place
from .recording import Recording
from .records import Counters, Meta, Record
from .symbol_table import ReceiverEntry, TransitionEntry

Condition = Literal["waiting", "running", "ended", "died", "away"]

_STUCK_FACTOR = 10
_STUCK_SECONDS = 1.0
_STUCK_FIRST_SECONDS = 60.0
_TAIL_RECORDS = (2**14, 2**16)


@dataclass(frozen=True)
class Status:
    """The state of a run, as another process can see it in the recording."""

    condition: Condition
    """waiting: no run has begun; running; ended; died: the process exited before the run ended;
    away: the run had not ended, and its process is on another machine, so it cannot be checked."""
    phase: str
    """The live phase, or the last one; "completed", "cancelled" or "failed" if the run has ended;
    empty before the first transition."""
    receiver: str
    """The receiver that is being called; empty if none is, or if the recorder has `timing` off."""
    counters: Counters
    waits: bool
    """Whether this rank waits for the others in a vote; its receiver is empty then."""
    reason: str
    """The cancel or error that ended the run, or that is closing scopes now."""
    last_ns: int
    """The time of the last record, on the clock of the recording; 0 before the first."""
    idle: float | None
    """Seconds since the last record; None if the run is not running."""
    usual: float | None
    """Seconds of a usual stay in this phase: 99 of 100 stays were shorter; None if no stay was
    recorded, or if the run is not running."""

    @property
    def scopes(self) -> list[str]:
        """The open scopes, outermost first."""
        return self.phase.split(".")[:-1]

    @property
    def stuck(self) -> bool:
        """Whether no record was made for ten times the usual stay, and for a second.

        In the first stay in a phase, such as a first batch: for a minute.
        """
        if self.idle is None:
            return False
        if self.usual is None:
            return self.idle > _STUCK_FIRST_SECONDS
        return self.idle > max(_STUCK_FACTOR * self.usual, _STUCK_SECONDS)

    def __str__(self) -> str:
        phase = " › ".join(self.phase.split("."))
        if self.condition == "ended":
            return f"{self.phase}{f': {self.reason}' if self.reason else ''}"
        if self.condition == "waiting":
            return "no run has begun"
        running = "stuck" if self.stuck else "running"
        word = {"running": running, "died": "died", "away": "last seen"}[self.condition]
        receiver = f", called {self.receiver}" if self.receiver else ""
        if self.waits:
            receiver = ", waits for the other ranks"
        return f"{word} in {phase}{receiver}, {format_position(self.counters)}"


def status(recording: Recording) -> Status:
    """The current status of the run. Cost: reads the newest records, 16384, or 65536 if those
    contain no transition."""
    tail = _TailState(recording)
    phase = "" if tail.entry is None else tail.entry.destination
    condition = _condition(recording, phase)
    is_running = condition == "running"
    return Status(
        condition=condition,
        phase=phase,
        receiver=tail.receiver if condition != "ended" else "",
        waits=condition != "ended" and tail.waits,
        counters=recording.counters,
        reason=tail.reason,
        last_ns=tail.last_ns,
        idle=(time.monotonic_ns() - tail.last_ns) / 1e9 if is_running else None,
        usual=tail.usual if is_running else None,
    )


class _TailState:
    """The state after the newest records: the last transition, and the records after it."""

    def __init__(self, recording: Recording) -> None:
        self._table = recording.table
        self._active: list[ReceiverEntry] = []
        self._stays: dict[str, list[int]] = {}
        self.entry: TransitionEntry | None = None
        self._entered_ns = self.last_ns = 0
        self.reason = ""
        for record in _tail(recording):
            self.last_ns = record.time_ns
            if record.kind == Kind.TRANSITION:
                self._add_transition(record)
            else:
                self._add_other(record)

    @property
    def receiver(self) -> str:
        """The innermost receiver that has not returned yet."""
        return "" if self.waits or not self._active else self._active[-1].name

    @property
    def waits(self) -> bool:
        """Whether the rank waits for the others."""
        return bool(self._active) and self._active[-1].is_wait

    @property
    def usual(self) -> float | None:
        """Seconds of a usual stay in the phase: 99 of 100 stays were shorter."""
        stays = sorted(self._stays.get(self.entry.destination, ())) if self.entry else []
        return stays[len(stays) * 99 // 100] / 1e9 if stays else None

    def _add_transition(self, record: Record) -> None:
        if self.entry is not None:
            stay = record.time_ns - self._entered_ns
            self._stays.setdefault(self.entry.destination, []).append(stay)
        self.entry, self._entered_ns = self._table.transition(record.id), record.time_ns
        self._active.clear()
        if self.entry.trigger.startswith("begin_") or self.entry.destination == "completed":
            self.reason = ""

    def _add_other(self, record: Record) -> None:
        if record.kind == Kind.BEGIN_RECEIVER:
            self._active.append(self._table.receiver(record.id))
        elif record.kind == Kind.END_RECEIVER and self._active:
            self._active.pop()
        elif record.kind == Kind.CANCEL:
            self.reason = str(self._table.cancel(record.id))
        elif record.kind == Kind.ERROR:
            self.reason = str(self._table.error(record.id))


def _tail(recording: Recording) -> list[Record]:
    """The newest records; a transition calls so few receivers that they contain one."""
    few, many = (max(recording.start, recording.end - size) for size in _TAIL_RECORDS)
    records = list(recording.records(few))
    if few == many or any(record.kind == Kind.TRANSITION for record in records):
        return records
    return list(recording.records(many))


def _condition(recording: Recording, phase: str) -> Condition:
    if phase and "." not in phase:
        return "ended"
    meta = recording.meta
    if not _can_see_process(meta):
        return "away"
    is_alive = (
        process_identity.start_time(meta.pid) in (meta.started, 0)
        and meta.boot == process_identity.boot()
    )
    if phase and (recording.closed or not is_alive):
        return "died"
    return "running" if phase else "waiting"


def _can_see_process(meta: Meta) -> bool:
    """Whether this process can check if the recorded process is alive."""
    if meta.host == socket.gethostname() and meta.boot != process_identity.boot():
        return True
    return (
        meta.boot == process_identity.boot() and meta.namespace == process_identity.pid_namespace()
    )


def format_position(counters: Counters) -> str:
    """`epoch 4 of 40, batch 58 of 60`: counted from 1, unlike the TrainState."""
    return counted_place(counters.epoch, counters.batch, counters.n_epochs, counters.n_batches)

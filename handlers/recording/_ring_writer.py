"""Writes records to a ring in memory. Each nanosecond here is paid at each transition."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from ...events import TrainerProtocol, TrainState
from ._mapped_file import RecordingFile
from .format import LAPS, SLOT_BYTES, UNKNOWN, Kind, Live, word

Write = Callable[[Any, TrainState], None]

WRITTEN = int(Live.WRITTEN)
_LAP = 1 << 16
_LAPS = (LAPS - 1) << 16
_32_BITS = 0xFFFFFFFF


class Tape:
    """The place in the ring where the next record goes, shared by all that write there.

    Attributes:
        at: the slot of the next record.
        base: the number of the record in slot 0.
        mark: what the second word of every record has: the lap, and for transitions where.
        since: when the last transition was made.
    """

    __slots__ = ("at", "base", "lap", "live", "mark", "records", "since", "tags", "times", "totals")

    def __init__(self, file: RecordingFile) -> None:
        layout = file.layout
        ring = file.words[layout.ring_at // 8 :]
        self.times, self.tags = ring[::2], ring[1::2]
        self.totals = file.words[layout.totals_at // 8 : layout.ring_at // 8]
        self.live = file.live
        self.records = layout.records
        self.at = self.base = self.lap = self.mark = 0
        self.since = monotonic_ns()

    def be_at(self, where: int) -> None:
        """Let `where`, its lower 32 bits, be the argument of the transitions that follow."""
        self.mark = (where & _32_BITS) << 32 | self.lap

    def append(self, kind: Kind, identity: int, argument: int = 0) -> None:
        """Write a record of any kind; `argument` is its lower 32 bits."""
        at = self.at
        self.times[at] = monotonic_ns()
        self.tags[at] = (argument & _32_BITS) << 32 | word(kind, identity) | self.lap
        self.advance()

    def advance(self) -> None:
        """Go on to the next slot."""
        if self.at == self.records - 1:
            self.turn()
        else:
            self.at += 1

    def turn(self) -> None:
        """Begin the next lap."""
        self.at = 0
        self.base += self.records
        self.mark -= self.lap
        self.lap = (self.lap + _LAP) & _LAPS
        self.mark += self.lap
        self.tell()

    def tell(self) -> None:
        """Let readers know how far the tape is; they find what follows by its lap."""
        self.live[WRITTEN] = self.base + self.at


def transition_writer(tape: Tape, identity: int) -> Write:
    """Writes the record of one transition, and adds to its totals.

    What it adds to the time is what has passed since the last transition: the time spent in the
    phase that is left.
    """
    times, tags, totals = tape.times, tape.tags, tape.totals
    tag, last = word(Kind.TRANSITION, identity), tape.records - 1
    counted, timed = _slots(identity)
    count, spent = totals[counted], totals[timed]

    def write(trainer: TrainerProtocol, state: TrainState) -> None:
        nonlocal count, spent
        now = monotonic_ns()
        at = tape.at
        times[at] = now
        tags[at] = tape.mark | tag
        totals[counted] = count = count + 1
        totals[timed] = spent = spent + now - tape.since
        tape.since = now
        if at == last:
            tape.turn()
        else:
            tape.at = at + 1

    write.cannot_fail = True  # type: ignore[attr-defined]  # it reads nothing of the trainer
    return write


def opening_batch(tape: Tape, write: Write) -> Write:
    """`write` at the begin of a batch: notes which."""
    live, batch, batches = tape.live, int(Live.BATCH), int(Live.N_BATCHES)

    def write_batch(trainer: TrainerProtocol, state: TrainState) -> None:
        live[batch] = index = state.batch_index
        tape.mark = (index & _32_BITS) << 32 | tape.lap
        known = state.n_batches
        live[batches] = UNKNOWN if known is None else known
        write(trainer, state)

    return write_batch


def closing_batch(tape: Tape, write: Write) -> Write:
    """`write` at the end of a batch: notes what has been done."""
    live, step, samples = tape.live, int(Live.STEP), int(Live.SAMPLES)

    def write_step(trainer: TrainerProtocol, state: TrainState) -> None:
        write(trainer, state)
        live[step] = state.step
        live[samples] = state.samples
        live[WRITTEN] = tape.base + tape.at

    return write_step


def timed(tape: Tape, identity: int, slot: int, receiver: Write) -> Write:
    """`receiver`, with a record before and one after it, and its totals in `slot`."""
    times, tags, totals = tape.times, tape.tags, tape.totals
    begin, end = word(Kind.BEGIN_RECEIVER, identity), word(Kind.END_RECEIVER, identity)
    counted, spent = _slots(slot)

    def call(trainer: TrainerProtocol, state: TrainState) -> None:
        at = tape.at
        times[at] = start = monotonic_ns()
        tags[at] = begin | tape.lap
        tape.advance()
        try:
            receiver(trainer, state)
        finally:
            at = tape.at
            times[at] = now = monotonic_ns()
            tags[at] = end | tape.lap
            totals[counted] += 1
            totals[spent] += now - start
            tape.advance()

    call.__wrapped__ = receiver  # type: ignore[attr-defined]
    return call


def _slots(identity: int) -> tuple[int, int]:
    """Where the count and the time of an id are, in words."""
    first = identity * SLOT_BYTES // 8
    return first, first + 1

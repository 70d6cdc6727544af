"""Write records to a ring in memory. Runs at every transition, so each nanosecond counts."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from ...events import TrainerProtocol, TrainState
from ._mapped_file import RecordingFile
from .format import LAPS, SLOT_BYTES, UNKNOWN, Kind, Live, record_tag

Write = Callable[[Any, TrainState], None]

WRITTEN = int(Live.WRITTEN)
_LAP = 1 << 16
_LAPS = (LAPS - 1) << 16
_32_BITS = 0xFFFFFFFF


class RingWriter:
    """The position in the ring of the next record, shared by all writers of records.

    Attributes:
        file: of which the ring is a part.
        slot: the slot of the next record.
        base: the number of the record in slot 0.
        lap: the current lap, shifted to its place in a tag.
        tag: added to the tag of each transition: the current lap, and the argument.
        last_ns: the time of the last transition.
        times, tags: the first and the second 8 bytes of each slot; see `format`.
    """

    __slots__ = (
        "base",
        "file",
        "lap",
        "last_ns",
        "live",
        "records",
        "slot",
        "tag",
        "tags",
        "times",
        "totals",
    )

    def __init__(self, file: RecordingFile) -> None:
        layout = file.layout
        self.file = file
        ring = file.words[layout.ring_at // 8 :]
        self.times, self.tags = ring[::2], ring[1::2]
        self.totals = file.words[layout.totals_at // 8 : layout.ring_at // 8]
        self.live = file.live
        self.records = layout.records
        self.slot = self.base = self.lap = self.tag = 0
        self.last_ns = monotonic_ns()

    def set_argument(self, argument: int) -> None:
        """Set the argument of the following transitions to the lower 32 bits of `argument`."""
        self.tag = (argument & _32_BITS) << 32 | self.lap

    def append(self, kind: Kind, identity: int, argument: int = 0) -> None:
        """Write a record of any kind; `argument` is cut to its lower 32 bits."""
        slot = self.slot
        self.times[slot] = monotonic_ns()
        self.tags[slot] = (argument & _32_BITS) << 32 | record_tag(kind, identity) | self.lap
        self.advance()

    def advance(self) -> None:
        """Move to the next slot."""
        if self.slot == self.records - 1:
            self.begin_lap()
        else:
            self.slot += 1

    def begin_lap(self) -> None:
        """Move to the first slot, and count a lap."""
        self.slot = 0
        self.base += self.records
        self.tag -= self.lap
        self.lap = (self.lap + _LAP) & _LAPS
        self.tag += self.lap
        self.publish_count()

    def publish_count(self) -> None:
        """Write the number of records for readers; they find later records by their lap."""
        self.live[WRITTEN] = self.base + self.slot


def transition_writer(ring: RingWriter, identity: int) -> Write:
    """Make the writer of one transition: writes a record, and adds to the totals.

    The time that it adds is the time since the last transition: that of the phase which ends.
    """
    times, tags, totals = ring.times, ring.tags, ring.totals
    own_tag, last = record_tag(Kind.TRANSITION, identity), ring.records - 1
    count_at, ns_at = total_words(identity)
    count, ns = totals[count_at], totals[ns_at]

    def write(trainer: TrainerProtocol, state: TrainState) -> None:
        nonlocal count, ns
        now = monotonic_ns()
        slot = ring.slot
        times[slot] = now
        tags[slot] = ring.tag | own_tag
        totals[count_at] = count = count + 1
        totals[ns_at] = ns = ns + now - ring.last_ns
        ring.last_ns = now
        if slot == last:
            ring.begin_lap()
        else:
            ring.slot = slot + 1

    write.cannot_fail = True  # type: ignore[attr-defined]  # it reads nothing of the trainer
    return write


def batch_begin_writer(ring: RingWriter, write: Write) -> Write:
    """`write` at the begin of a batch, which first sets the batch's number."""
    live, batch, batches = ring.live, int(Live.BATCH), int(Live.N_BATCHES)

    def write_batch(trainer: TrainerProtocol, state: TrainState) -> None:
        live[batch] = index = state.batch_index
        ring.tag = (index & _32_BITS) << 32 | ring.lap
        known = state.n_batches
        live[batches] = UNKNOWN if known is None else known
        write(trainer, state)

    return write_batch


def batch_end_writer(ring: RingWriter, write: Write) -> Write:
    """`write` at the end of a batch, which then sets the steps and samples, and checks the file."""
    live, step, samples = ring.live, int(Live.STEP), int(Live.SAMPLES)
    mapped = ring.file.mapped

    def write_step(trainer: TrainerProtocol, state: TrainState) -> None:
        write(trainer, state)
        live[step] = state.step
        live[samples] = state.samples
        live[WRITTEN] = ring.base + ring.slot
        if mapped.is_cut:
            ring.file.check()

    return write_step


def timed_receiver(ring: RingWriter, identity: int, total: int, receiver: Write) -> Write:
    """`receiver` with a record before and after each call.

    Args:
        identity: id of the receiver in records.
        total: index of its totals, behind those of the transitions.
    """
    times, tags, totals = ring.times, ring.tags, ring.totals
    begin, end = record_tag(Kind.BEGIN_RECEIVER, identity), record_tag(Kind.END_RECEIVER, identity)
    count_at, ns_at = total_words(total)

    def call(trainer: TrainerProtocol, state: TrainState) -> None:
        slot = ring.slot
        times[slot] = start = monotonic_ns()
        tags[slot] = begin | ring.lap
        ring.advance()
        try:
            receiver(trainer, state)
        finally:
            slot = ring.slot
            times[slot] = now = monotonic_ns()
            tags[slot] = end | ring.lap
            totals[count_at] += 1
            totals[ns_at] += now - start
            ring.advance()

    call.__wrapped__ = receiver  # type: ignore[attr-defined]
    return call


def total_words(index: int) -> tuple[int, int]:
    """The words of the count and of the nanoseconds in the totals with this index."""
    first = index * SLOT_BYTES // 8
    return first, first + 1

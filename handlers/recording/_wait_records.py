"""Record the time that this rank waits for the others: in votes, and in the passes of a model."""

from __future__ import annotations

from time import monotonic_ns

from ...events import TrainerProtocol, TrainState
from ._mapped_file import RECEIVERS, TRANSITIONS, RecordingFile
from ._ring_writer import RingWriter, total_words
from .format import COLLECTIVE, VOTE, Kind


class WaitRecords:
    """Writes each wait as a call of a receiver, and adds its time to the totals, by phase."""

    def __init__(self, file: RecordingFile, ring: RingWriter, state: TrainState) -> None:
        self._file = file
        self._ring = ring
        self._state = state
        self._identity = 0
        self._began = 0

    def watch(self, trainer: TrainerProtocol) -> None:
        """Record the waits of the run of `trainer`, if several ranks make it."""
        agreement = trainer.agreement
        if agreement is not None and self.write_vote not in agreement.vote_watchers:
            agreement.vote_watchers.append(self.write_vote)
            agreement.collective_watchers.append(self.write_collective)

    def stop(self, trainer: TrainerProtocol) -> None:
        """Record no more."""
        agreement = trainer.agreement
        if agreement is not None and self.write_vote in agreement.vote_watchers:
            agreement.vote_watchers.remove(self.write_vote)
            agreement.collective_watchers.remove(self.write_collective)

    def write_vote(self, begins: bool) -> None:
        """A vote begins, or has ended."""
        self._write(*VOTE, begins)

    def write_collective(self, what: str, begins: bool) -> None:
        """This rank waits for what the others send, or has it."""
        self._write(what, COLLECTIVE, begins)

    def _write(self, name: str, module: str, begins: bool) -> None:
        if begins:
            self._begin(name, module)
        else:
            self._end()

    def _begin(self, name: str, module: str) -> None:
        entry = name, self._state.phase, module
        self._identity = self._file.identify("receiver", *entry, most=RECEIVERS)
        self._ring.append(Kind.BEGIN_RECEIVER, self._identity)
        self._ring.publish_count()
        self._began = monotonic_ns()

    def _end(self) -> None:
        self._ring.append(Kind.END_RECEIVER, self._identity)
        count_at, ns_at = total_words(TRANSITIONS + self._identity)
        totals = self._ring.totals
        totals[count_at] += 1
        totals[ns_at] += monotonic_ns() - self._began

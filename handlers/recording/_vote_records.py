"""Record the time that this rank waits for the others in votes."""

from __future__ import annotations

from time import monotonic_ns

from ...events import TrainerProtocol, TrainState
from ._mapped_file import RECEIVERS, TRANSITIONS, RecordingFile
from ._ring_writer import RingWriter, total_words
from .format import VOTE, Kind


class VoteRecords:
    """Writes each vote as a call of a receiver, and adds its time to the totals, by phase."""

    def __init__(self, file: RecordingFile, ring: RingWriter, state: TrainState) -> None:
        self._file = file
        self._ring = ring
        self._state = state
        self._identity = 0
        self._began = 0

    def watch(self, trainer: TrainerProtocol) -> None:
        """Record the votes of the run of `trainer`, if it takes any."""
        agreement = trainer.agreement
        if agreement is not None and self.write not in agreement.vote_watchers:
            agreement.vote_watchers.append(self.write)

    def stop(self, trainer: TrainerProtocol) -> None:
        """Record no more."""
        agreement = trainer.agreement
        if agreement is not None and self.write in agreement.vote_watchers:
            agreement.vote_watchers.remove(self.write)

    def write(self, begins: bool) -> None:
        """A vote begins, or has ended."""
        if begins:
            self._begin()
        else:
            self._end()

    def _begin(self) -> None:
        name, module = VOTE
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

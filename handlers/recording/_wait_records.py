"""Record the time that this rank waits for the others: in votes, and for their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic_ns

from ...events import TrainerProtocol, TrainState
from ._mapped_file import RECEIVERS, TRANSITIONS, RecordingFile
from ._ring_writer import RingWriter, total_words
from .format import GRADIENTS, VOTE, Kind

Watcher = Callable[[bool], None]


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
        for watchers, write in self._watched(trainer):
            if write not in watchers:
                watchers.append(write)

    def stop(self, trainer: TrainerProtocol) -> None:
        """Record no more."""
        for watchers, write in self._watched(trainer):
            if write in watchers:
                watchers.remove(write)

    def _watched(self, trainer: TrainerProtocol) -> Iterator[tuple[list[Watcher], Watcher]]:
        agreement = trainer.agreement
        if agreement is not None:
            yield agreement.vote_watchers, self.write_vote
            yield agreement.gradient_watchers, self.write_gradients

    def write_vote(self, begins: bool) -> None:
        """A vote begins, or has ended."""
        self._write(VOTE, begins)

    def write_gradients(self, begins: bool) -> None:
        """This rank has all its gradients, or has those of all ranks."""
        self._write(GRADIENTS, begins)

    def _write(self, what: tuple[str, str], begins: bool) -> None:
        if begins:
            self._begin(*what)
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

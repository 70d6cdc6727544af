"""Counts and times of a whole recording, including records that the ring has overwritten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from .recording import Recording
from .symbol_table import ReceiverEntry, TransitionEntry


@dataclass(frozen=True, slots=True)
class Total:
    """A count, and the sum of the times."""

    count: int = 0
    ns: int = 0

    @property
    def seconds(self) -> float:
        return self.ns / 1e9

    @property
    def mean(self) -> float:
        """Seconds per count; 0 if the count is 0."""
        return self.seconds / self.count if self.count else 0.0

    def plus(self, other: Total) -> Total:
        return Total(self.count + other.count, self.ns + other.ns)


@dataclass(frozen=True)
class Totals:
    """Totals by transition and by receiver, since the recorder was attached.

    The time of a transition is the time spent in its source, summed over the times that this
    transition left it. The current stay in the live phase is not included.
    """

    transitions: Mapping[TransitionEntry, Total]
    receivers: Mapping[ReceiverEntry, Total]

    @property
    def phases(self) -> dict[str, Total]:
        """By phase: how often it was entered, and the time spent in it until it was left."""
        by_phase: dict[str, Total] = defaultdict(Total)
        for entry, total in self.transitions.items():
            by_phase[entry.source] = by_phase[entry.source].plus(Total(0, total.ns))
            by_phase[entry.destination] = by_phase[entry.destination].plus(Total(total.count, 0))
        return dict(by_phase)

    @property
    def rows(self) -> dict[int, Total]:
        """The transitions by row of the chart; -1 has those of other charts."""
        by_row: dict[int, Total] = defaultdict(Total)
        for entry, total in self.transitions.items():
            by_row[entry.row] = by_row[entry.row].plus(total)
        return dict(by_row)

    @property
    def seconds(self) -> float:
        """The time spent in runs: the time between runs is left out."""
        return sum(t.seconds for entry, t in self.transitions.items() if "." in entry.source)


def totals(recording: Recording) -> Totals:
    """Read the current totals."""
    layout, table = recording.layout, recording.table
    transitions = recording.slots(layout.totals_at, layout.transitions)
    receivers = recording.slots(layout.receivers_at, layout.receivers)
    return Totals(
        {
            entry: Total(*transitions[identity])
            for identity, entry in table.transitions.items()
            if identity < len(transitions) and transitions[identity][0]
        },
        {
            entry: Total(*receivers[identity])
            for identity, entry in table.receivers.items()
            if identity < len(receivers) and receivers[identity][0]
        },
    )

"""Counts and times of a whole run, of which the ring may have lost the beginning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from .recording import Recording
from .symbol_table import ReceiverEntry, TransitionEntry


@dataclass(frozen=True, slots=True)
class Total:
    """How often, and how long in all."""

    count: int = 0
    ns: int = 0

    @property
    def seconds(self) -> float:
        return self.ns / 1e9

    @property
    def mean(self) -> float:
        """Seconds each time; 0 if there was none."""
        return self.seconds / self.count if self.count else 0.0

    def plus(self, other: Total) -> Total:
        return Total(self.count + other.count, self.ns + other.ns)


@dataclass(frozen=True)
class Totals:
    """What has been recorded since the recorder was attached, by transition and by receiver.

    The time of a transition is the time spent in its source, each time that it was left by this
    transition. That of the live phase is not in it.
    """

    transitions: Mapping[TransitionEntry, Total]
    receivers: Mapping[ReceiverEntry, Total]

    @property
    def phases(self) -> dict[str, Total]:
        """For each phase how often it was entered, and the time spent there before it was left."""
        found: dict[str, Total] = defaultdict(Total)
        for entry, total in self.transitions.items():
            found[entry.source] = found[entry.source].plus(Total(0, total.ns))
            found[entry.destination] = found[entry.destination].plus(Total(total.count, 0))
        return dict(found)

    @property
    def rows(self) -> dict[int, Total]:
        """The same by row of the chart; -1 has those of other charts."""
        found: dict[int, Total] = defaultdict(Total)
        for entry, total in self.transitions.items():
            found[entry.row] = found[entry.row].plus(total)
        return dict(found)

    @property
    def seconds(self) -> float:
        """All the time there is, but what was spent outside of runs."""
        return sum(t.seconds for entry, t in self.transitions.items() if "." in entry.source)


def totals(recording: Recording) -> Totals:
    """The totals as they are now."""
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

"""The triggers after which the ranks vote, and the phases by number."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...events import Transition
from ...events.bus.order import Receiver, owner_of
from ...events.bus.signal import Links
from ..statechart.compiled_table import Table, TableRow
from ..statechart.phase_paths import open_scopes


class WishedVotes:
    """What this rank asks for at each vote: votes after the signals that it listens to.

    Args:
        always: the triggers that are followed by a vote even if nobody listens.
        unit: the name of the scope of a batch.

    Attributes:
        wanted: the triggers that are followed by a vote, by agreement of all ranks.
    """

    def __init__(self, always: Collection[str], unit: str | None) -> None:
        self.wanted: set[str] = set()
        self._always = frozenset(always)
        self._unit = unit
        self._rows: dict[str, list[TableRow]] = {}
        self._places: dict[str, int] = {}
        self._links: Sequence[Links] = ()
        self._updates: list[int] = []  # at the last vote
        self._own: list[int] = []
        self._agreed: Sequence[int] = ()

    def begin(self, table: Table) -> None:
        """Learn the phases and triggers of the run; every signal is followed by a vote at first."""
        self._places = {phase: place for place, phase in enumerate(table)}
        for leaf in table.values():
            for trigger, row in leaf.rows.items():
                self._rows.setdefault(trigger, []).append(row)
        self._links = table.links
        self.want_all()

    def asks_after(self, receiver: Receiver, transition: Transition) -> bool:
        """Whether this rank asks for a vote after the signal of `transition` for a receiver.

        What one that never cancels raises can wait where another vote follows for certain: at the
        signals of a batch, which has a vote of its own, or one on what follows it.
        """
        if getattr(owner_of(receiver), "on_error", "raise") == "detach":
            return False
        phases = (transition.source, transition.destination)
        of_batch = self._unit is not None and any(open_scopes(p, self._unit) for p in phases)
        return not (of_batch and declares_no_cancel(receiver))

    def place(self, phase: str) -> int:
        """The number of a phase; -1 if the run has none of this path."""
        return self._places.get(phase, -1)

    def phases_at(self, places: Sequence[int]) -> list[str]:
        """The phases with these numbers."""
        phases = [*self._places, "a phase that this rank does not have"]
        return [phases[place] for place in places]

    def want_all(self) -> None:
        """Vote after every signal, until the next vote."""
        self.wanted = {*self._rows}
        self._agreed = ()

    def agree(self, wishes: Sequence[int]) -> None:
        """Take what all ranks have asked for."""
        if wishes != self._agreed:
            self._agreed = wishes
            self.wanted = {
                trigger for trigger, wish in zip(self._rows, wishes, strict=True) if wish
            }

    def all(self) -> list[int]:
        """The wish for a vote after every trigger."""
        return [1] * len(self._rows)

    def own(self) -> list[int]:
        """For each trigger, whether this rank asks for a vote after it."""
        updates = [links.updates.count for links in self._links]
        if updates != self._updates or not self._own:
            self._updates = updates
            self._own = [int(self._wants(trigger)) for trigger in self._rows]
        return self._own

    def _wants(self, trigger: str) -> bool:
        return trigger in self._always or any(
            getattr(receiver, "wants_vote", False)
            for row in self._rows[trigger]
            for receiver in row.receivers
        )


def declares_no_cancel(receiver: Receiver) -> bool:
    """Whether the handler of a receiver has `never_cancels = True`."""
    return getattr(owner_of(receiver), "never_cancels", False) is True

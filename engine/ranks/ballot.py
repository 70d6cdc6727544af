"""The votes of a run: what this rank has recorded since the last one, and what all have agreed on.

A signal that some rank listens to is followed by a vote, so is the choice of a phase outside of a
batch, and a trigger of `Chart.votes`. Between two votes nothing leaves a rank: what a receiver or
an activity raises is recorded. At the vote every rank gets what all have raised, in the order of
the ranks, and closes the same scopes.

A vote before the backward pass may stay open while it runs: its result is asked for before the
gradients are sent to the other ranks. If something was raised, none are, and they are taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from ...events import Agreement, PeerError, TrainState, Transition
from ...events.bus.order import Receiver, owner_of
from ...events.utils.exception_text import traceback_text
from ..closing.raised_exception import Raised, is_cancel
from ..statechart.compiled_table import LeafPhase, TableRow
from ..statechart.phase_paths import closes_scope
from .peer_records import as_record, merged, recorded, too_late
from .vote_exchange import LAST_PHASE, PHASE, VoteExchange, in_one_phase

T = TypeVar("T")

CLOSES = 1000
"""The lowest code of a choice that closes a scope."""

ANYTHING = 0, 0
"""The choice of a vote at which nothing is chosen."""


class AgreedRaise(BaseException):
    """Leads into the unwinding with what all ranks have raised; user code never sees it.

    Args:
        phase: the one in which that vote was opened, if this rank has gone on since.
    """

    def __init__(self, raised: list[Raised], phase: str = "") -> None:
        self.raised = raised
        self.phase = phase


class Ballot:
    """What this rank says at the next vote of a run.

    Args:
        always: the triggers that are followed by a vote even if nobody listens.

    Attributes:
        wanted: the triggers that are followed by a vote, by agreement of all ranks.
        broken_off: whether an activity was broken off here: until the next vote, no other runs.
        asks: whether something waits here for a vote, such as a request.
        settled: whether nothing was done since the last vote.
        lost: whether there are no more votes: what is raised is raised at once.
        certain: how many more batches all ranks fetch, unless a loader fails.
        open_in: the phase in which the open vote began; empty without one.
    """

    def __init__(self, agreement: Agreement, state: TrainState, always: Collection[str]) -> None:
        self.agreement = agreement
        self.state = state
        self.broken_off = self.asks = self.settled = self.lost = False
        self.certain = 0
        self.open_in = ""
        self.wanted: set[str] = set()
        self._exchange = VoteExchange(agreement)
        self._aborted = False
        self._always = frozenset(always)
        self._rows: dict[str, list[TableRow]] = {}
        self._places: dict[str, int] = {}
        self._all_rows: list[TableRow] = []
        self._receivers: list[tuple[Receiver, ...]] = []  # at the last vote
        self._wishes: list[int] = []
        self._agreed_wishes: Sequence[int] = ()
        self._skips = False  # the remaining receivers of the live signal
        self._recorded: list[Raised] = []
        self._followed: list[str] = []

    def begin(self, table: Mapping[str, LeafPhase]) -> None:
        """Learn the phases and triggers of the run; every signal is followed by a vote at first."""
        self._places = {phase: place for place, phase in enumerate(table)}
        for leaf in table.values():
            for trigger, row in leaf.rows.items():
                self._rows.setdefault(trigger, []).append(row)
        self._all_rows = [row for rows in self._rows.values() for row in rows]
        self._want_all()

    def recording(self, receiver: Receiver, transition: Transition) -> Receiver:
        """`receiver`, with what it raises recorded; the remaining ones are then skipped.

        Those of a signal that closes a scope are not skipped.
        """
        if getattr(receiver, "cannot_fail", False):
            return receiver
        closes = closes_scope(transition)

        def call(trainer: object, state: TrainState) -> None:
            if self.lost:
                receiver(trainer, state)
            elif closes or not self._skips:
                try:
                    receiver(trainer, state)
                except BaseException as error:
                    self.record(error, receiver)

        call.__wrapped__ = receiver  # type: ignore[attr-defined]
        call.wants_vote = getattr(owner_of(receiver), "on_error", "raise") != "detach"  # type: ignore[attr-defined]
        return call

    def record(self, error: BaseException, receiver: Receiver | None = None) -> None:
        """Keep what was raised until the next vote."""
        self._skips = True
        phase = self.state.phase
        self._recorded.append(recorded(error, receiver, phase, self.agreement.rank))

    def break_off(self, error: BaseException, is_collective: bool) -> None:
        """Keep what an activity has raised, in which the others may wait for this rank.

        That ends the run: a cancel there is an error.
        """
        self.broken_off = self._skips = True
        if not is_collective:
            self.record(error)
        elif self._abort():
            self.record(too_late(error, self.state.phase) if is_cancel(error) else error)
        else:
            self._followed.append(traceback_text(error))

    def stay_away(self) -> None:
        """Skip a collective activity, in which the others wait for this rank: that ends the run."""
        if self._aborted:
            return
        self._abort()
        for place, one in enumerate(self._recorded):
            if is_cancel(one.error):
                late = too_late(one.error, one.phase)
                self._recorded[place] = one._replace(error=late)

    def _abort(self) -> bool:
        self._aborted = True
        return self.agreement.abort()

    @property
    def is_muted(self) -> bool:
        """Whether this batch has no votes, as only one of several has."""
        return self.certain > 0 and self.agreement.every > 1

    def go_on(self) -> None:
        """Begin with the next activity, or the next signal of an unwinding."""
        self._skips = self.broken_off

    def vote(self) -> list[Raised]:
        """Vote on all that was recorded; returns what all ranks have raised."""
        return self._result(self._cast(bool(self._recorded) or self.broken_off, ANYTHING))

    def can_stay_open(self) -> bool:
        """Whether the vote that is due can be open while the backward pass runs."""
        speaks = self._recorded or self.broken_off or self.asks
        return not speaks and self.agreement.overlaps(self.state)

    def open(self) -> None:
        """Send the ballot of this rank, and go on without those of the others."""
        self._send(False, ANYTHING)
        self.open_in = self.state.phase

    def close(self) -> list[Raised]:
        """Wait for the open vote; returns what all ranks have raised."""
        self.open_in = ""
        return self._result(self._received())

    def count_cancels(self) -> int:
        """How many cancels were recorded here since the last vote."""
        return sum(is_cancel(one.error) for one in self._recorded)

    def choose(self, code: int) -> int:
        """Vote on a choice: the highest code of all ranks.

        Raises:
            AgreedRaise: an activity was broken off on a rank.
            PeerError: the ranks have made different choices, and none of them closes a scope.
        """
        agreed = self._cast(self.broken_off, (code, -code))
        if raised := self._result(agreed):
            raise AgreedRaise(raised)
        if agreed[3] != -agreed[4] and agreed[3] < CLOSES:
            self.lost = True
            raise PeerError(
                f"the ranks do not agree on what follows {self.state.phase}: a handler has changed "
                "a loader, or what decides about a validation, on some ranks only"
            )
        return agreed[3]

    def leave(self) -> None:
        """Leave the run alone: the others fail at their next vote."""
        if not self.lost:
            self.lost = True
            self.agreement.leave()

    def _result(self, agreed: Sequence[int]) -> list[Raised]:
        """What all ranks have raised, if one has."""
        if not agreed[0]:
            return []
        records = [as_record(one) for one in self._recorded]
        self.lost = True  # unless they can be shared
        try:
            told = self.agreement.share(records)
        except PeerError:
            raise
        except BaseException:
            self.agreement.leave()
            raise
        self.lost = False
        raised = merged(self._recorded, told, self.agreement.rank, self._followed)
        self._recorded, self._followed = [], []
        self.broken_off = self._skips = False
        self._want_all()
        return raised

    def _cast(self, raised: bool, choice: tuple[int, int]) -> Sequence[int]:
        self._send(raised, choice)
        return self._received()

    def _send(self, raised: bool, choice: tuple[int, int]) -> None:
        """Vote; the two phases and choices are a maximum, and a minimum with its sign changed."""
        place = self._places.get(self.state.phase, -1)
        everywhere = self.asks or self._recorded
        wishes = [1] * len(self._rows) if everywhere else self._own_wishes()
        certain = 0 if everywhere else self.agreement.certain_batches(self.state)
        ballot = [int(raised), place, -place, *choice, -certain, *wishes]
        self._all_or_none(lambda: self._exchange.send(ballot))

    def _received(self) -> Sequence[int]:
        agreed = self._all_or_none(self._checked_result)
        self.certain = -agreed[5]
        if agreed[6:] != self._agreed_wishes:
            self._agreed_wishes = agreed[6:]
            self.wanted = {
                trigger for trigger, wish in zip(self._rows, agreed[6:], strict=True) if wish
            }
        return agreed

    def _checked_result(self) -> Sequence[int]:
        agreed = self._exchange.result()
        if not in_one_phase(agreed):
            raise self._parted(agreed[PHASE], -agreed[LAST_PHASE])
        return agreed

    def _all_or_none(self, exchange: Callable[[], T]) -> T:
        """What is raised in a vote ends all votes."""
        try:
            return exchange()
        except PeerError:
            self.lost = True
            raise
        except BaseException:  # an interrupt while this rank waits
            self.leave()
            raise

    def _want_all(self) -> None:
        self.certain = 0
        self.wanted = {*self._rows}
        self._agreed_wishes = ()

    def _own_wishes(self) -> list[int]:
        """For each trigger, whether this rank asks for a vote after it."""
        if any(map(_differs, self._all_rows, self._receivers)) or not self._wishes:
            self._receivers = [row.receivers for row in self._all_rows]
            self._wishes = [int(self._wants(trigger)) for trigger in self._rows]
        return self._wishes

    def _wants(self, trigger: str) -> bool:
        return trigger in self._always or any(
            getattr(receiver, "wants_vote", False)
            for row in self._rows[trigger]
            for receiver in row.receivers
        )

    def _parted(self, *found: int) -> PeerError:
        phases = [*self._places, "a phase that this rank does not have"]
        return PeerError(
            f"the ranks are in different phases, {' and '.join(phases[at] for at in found)}: "
            "their charts, activities or loaders differ; rank "
            f"{self.agreement.rank} is in {self.state.phase}"
        )


def _differs(row: TableRow, receivers: tuple[Receiver, ...]) -> bool:
    return row.receivers is not receivers

"""The votes of a run: what this rank has recorded since the last one, and what all have agreed on.

A signal that some rank listens to is followed by a vote, so is the choice of a phase outside of a
batch, and a trigger of `Chart.votes`. Between two votes nothing leaves a rank: what a receiver or
an activity raises is recorded. At the vote every rank gets what all have raised, in the order of
the ranks, and closes the same scopes.

A vote before the backward pass may stay open while it runs: its result is asked for before the
gradients are sent to the other ranks. If something was raised, none are, and they are taken back.

What handlers exchange with the other ranks begins with a vote, too, in `meet`: a rank that does not
come, as it has raised something before, says so there, and nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ...events import Agreement, PeerError, TrainState, Transition
from ...events.bus.order import Receiver
from ...events.utils.exception_text import traceback_text
from ..closing.raised_exception import Raised, is_cancel
from ..statechart.compiled_table import Table
from ..statechart.phase_paths import closes_scope
from .peer_records import Record, add_followed, as_record, merged, recorded, too_late
from .raised_apart import AgreedRaise, MissedExchange, chosen_apart, exchanged_apart, why_parted
from .vote_exchange import (
    ANYTHING,
    CHOICE,
    CLOSES,
    MEETS,
    RAISED,
    UNCERTAIN,
    VoteExchange,
    in_one_phase,
    is_behind,
    is_unanimous,
    meeting_code,
    places_in,
)
from .wished_votes import WishedVotes

T = TypeVar("T")


class Ballot:
    """What this rank says at the next vote of a run, for which it has `wishes`.

    Attributes:
        broken_off: whether an activity was broken off here: until the next vote, no other runs.
        asks: whether something waits here for a vote, such as a request.
        settled: whether nothing was done since the last vote.
        lost: whether there are no more votes: what is raised is raised at once.
        certain: how many more batches all ranks fetch, unless a loader fails.
        missed: what all ranks have raised while this one waited in `meet`, until its next vote.
        followed: tracebacks of what has failed here after another rank had ended the gradients.
        open_in: the phase in which the open vote began; empty without one.
    """

    def __init__(self, agreement: Agreement, state: TrainState, wishes: WishedVotes) -> None:
        self.agreement = agreement
        self.state = state
        self.broken_off = self.asks = self.settled = self.lost = self._aborted = False
        self.certain = 0
        self.open_in = ""
        self._wishes = wishes
        self._exchange = VoteExchange(agreement)
        self.missed: list[Raised] = []
        self._skips = False  # the remaining receivers of the live signal
        self._recorded: list[Raised] = []
        self.followed: list[str] = []

    def begin(self, table: Table) -> None:
        """Learn the phases and triggers of the run."""
        self._wishes.begin(table)
        self.agreement.meet = self.meet

    @property
    def wanted(self) -> set[str]:
        """The triggers that are followed by a vote, by agreement of all ranks."""
        return self._wishes.wanted

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
                    if self.lost:
                        raise
                    self.record(error, receiver)

        call.__wrapped__ = receiver  # type: ignore[attr-defined]
        call.wants_vote = self._wishes.asks_after(receiver, transition)  # type: ignore[attr-defined]
        return call

    def record(self, error: BaseException, receiver: Receiver | None = None) -> None:
        """Keep what was raised until the next vote."""
        self._skips = True
        if type(error) is not MissedExchange:
            self._recorded.append(recorded(error, receiver, self.state, self.agreement.rank))

    def break_off(self, error: BaseException, is_collective: bool) -> None:
        """Keep what an activity has raised, in which the others may wait for this rank.

        That ends the run: a cancel there is an error.
        """
        self.broken_off = self._skips = True
        if not is_collective or type(error) is MissedExchange:
            self.record(error)
        elif self._abort():
            self.record(too_late(error, self.state.phase) if is_cancel(error) else error)
        else:
            self.followed.append(traceback_text(error))

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
        return self._take_missed() or self._result(self._cast(self._has_raised, ANYTHING))

    def meet(self, what: str) -> None:
        """Wait until a handler of every rank is about to exchange `what`.

        Raises:
            MissedExchange: a rank does not come, as it has raised something.
            PeerError: a rank does not come for another reason.
        """
        if self.lost or self.open_in:
            return
        if not self.missed:
            certain = self.certain
            agreed = self._cast(self._has_raised, meeting_code(what))
            if is_unanimous(agreed):
                self.certain = certain
                return
            self.missed = self._result(agreed)
        raise MissedExchange

    @property
    def _has_raised(self) -> bool:
        return bool(self._recorded) or self.broken_off

    def _take_missed(self) -> list[Raised]:
        self.missed, raised = [], self.missed
        if raised:
            self.broken_off = self._skips = False
        return raised

    def take_recorded(self, error: BaseException) -> list[Raised]:
        """What this rank has raised, untold; `error`, why it leaves, notes what has followed."""
        raised = [*self.missed, *self._recorded]
        add_followed(error, self.followed)
        self.missed, self._recorded, self.followed = [], [], []
        return raised

    def can_stay_open(self) -> bool:
        """Whether the vote that is due can be open while the backward pass runs."""
        speaks = self._has_raised or self.asks or self.missed
        return not speaks and self.agreement.overlaps(self.state)

    def open(self) -> None:
        """Send the ballot of this rank, and go on without those of the others."""
        self._send(False, ANYTHING)
        self.open_in = self.state.phase

    def close(self) -> list[Raised]:
        """Wait for the open vote; returns what all ranks have raised."""
        self.open_in = ""
        return self._result(self._received())

    def choose(self, code: int) -> int:
        """Vote on a choice: the highest code of all ranks.

        Raises:
            AgreedRaise: an activity was broken off on a rank.
            PeerError: the ranks have made different choices, and none of them closes a scope.
        """
        if raised := self._take_missed():
            raise AgreedRaise(raised)
        agreed = self._cast(self.broken_off, code)
        if is_behind(self._exchange.sent, agreed):
            self.certain -= 1
            return code
        if raised := self._result(agreed):
            raise AgreedRaise(raised)
        if not is_unanimous(agreed) and agreed[CHOICE] < CLOSES:
            self.lost = True
            raise chosen_apart(self.state.phase)
        return agreed[CHOICE]

    def leave(self) -> None:
        """Leave the run alone: the others fail at their next vote."""
        if not self.lost:
            self.lost = True
            self.agreement.leave()

    def _result(self, agreed: Sequence[int]) -> list[Raised]:
        """What all ranks have raised, if one has."""
        if not agreed[RAISED]:
            return []
        told = self._share()
        raised = merged(self._recorded, told, self.agreement.rank, self.followed)
        self._recorded, self.followed = [], []
        self.broken_off = self._skips = False
        self.certain = 0
        self._wishes.want_all()
        return raised

    def _share(self) -> Sequence[Sequence[Record]]:
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
        return told

    def _cast(self, raised: bool, choice: int) -> Sequence[int]:
        self._send(raised, choice)
        return self._received()

    def _send(self, raised: bool, choice: int) -> None:
        """Vote; the two phases and choices are a maximum, and a minimum with its sign changed."""
        place = self._wishes.place(self.state.phase)
        everywhere = self.asks or self._recorded
        wishes = self._wishes.all() if everywhere else self._wishes.own()
        certain = 0 if everywhere else self.agreement.certain_batches(self.state)
        ballot = [int(raised), place, -place, choice, -choice, -certain, *wishes]
        self._all_or_none(lambda: self._exchange.send(ballot))

    def _received(self) -> Sequence[int]:
        agreed = self._all_or_none(self._checked_result)
        if not is_behind(self._exchange.sent, agreed):  # else the others vote again
            self.certain = -agreed[UNCERTAIN]
            self._wishes.agree(agreed[UNCERTAIN + 1 :])
        return agreed

    def _checked_result(self) -> Sequence[int]:
        agreed = self._exchange.result()
        if not in_one_phase(agreed):
            if not is_behind(self._exchange.sent, agreed):
                raise self._parted(agreed)
        elif agreed[CHOICE] >= MEETS and not (is_unanimous(agreed) or agreed[RAISED]):
            raise exchanged_apart(self.state.phase)
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

    def _parted(self, agreed: Sequence[int]) -> PeerError:
        told = self._share() if agreed[RAISED] else ()
        found = self._wishes.phases_at(places_in(agreed))
        return why_parted(told, self.agreement.rank, found, self.state.phase)

"""The messages of a vote: the ballot of this rank to the others, and the maxima of all."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from ...events import Agreement

RAISED, PHASE, LAST_PHASE, CHOICE, LAST_CHOICE, UNCERTAIN = range(6)
"""Places in a ballot: whether something was raised, the phase, and the phase with its sign changed:
its maximum says whether all ranks are in one phase; the choice likewise; how many batches are
certain, with its sign changed. The wishes follow."""

ANYTHING = 0
"""The choice of a vote at which nothing is chosen."""

BEHIND = 500
"""The choice of a rank whose fetch was broken off, where the others go on without a vote."""

CLOSES = 1000
"""The lowest code of a choice that closes a scope."""

MEETS = 1 << 20
"""The lowest code of an exchange between handlers."""


class VoteExchange:
    """Sends ballots and waits for the result, which a backward pass may ask for earlier.

    Attributes:
        is_open: whether a ballot was sent whose result nobody has taken.
        sent: the last ballot of this rank.
    """

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement
        self._early: Sequence[int] | BaseException | None = None
        self.is_open = False
        self.sent: Sequence[int] = ()
        agreement.may_reduce = self.may_reduce

    def send(self, ballot: Sequence[int]) -> None:
        """Send the ballot of this rank."""
        self._early, self.sent = None, ballot
        self._agreement.cast(ballot)
        self.is_open = True

    def result(self) -> Sequence[int]:
        """The maxima of the ballots of all ranks.

        Votes again if a rank has voted in its fetch that was broken off: it comes here, too.
        """
        self.is_open = False
        early = self._early
        if isinstance(early, BaseException):
            raise early
        found = self._wait() if early is None else early
        while self.sent[CHOICE] == ANYTHING and found[CHOICE] == BEHIND:
            self._agreement.cast(self.sent)
            found = self._wait()
        return found

    def may_reduce(self) -> bool:
        """Wait for the open vote; False if the others do not send their gradients, too."""
        if not self.is_open:
            return True
        if self._early is None:
            try:
                self._early = self._wait()
            except BaseException as error:  # raised where the result is taken
                self._early = error
        found = self._early
        if isinstance(found, BaseException):
            return False
        return not found[RAISED] and in_one_phase(found)

    def _wait(self) -> Sequence[int]:
        watchers = self._agreement.vote_watchers
        for watch in watchers:
            watch(True)
        try:
            return self._agreement.result()
        finally:
            for watch in watchers:
                watch(False)


def in_one_phase(result: Sequence[int]) -> bool:
    """Whether all ranks have voted in the same phase."""
    highest, lowest = places_in(result)
    return highest == lowest


def places_in(result: Sequence[int]) -> tuple[int, int]:
    """The highest and the lowest phase of all ranks."""
    return result[PHASE], -result[LAST_PHASE]


def is_unanimous(result: Sequence[int]) -> bool:
    """Whether all ranks have made the same choice."""
    return result[CHOICE] == -result[LAST_CHOICE]


def is_behind(sent: Sequence[int], result: Sequence[int]) -> bool:
    """Whether the fetch of this rank, which has sent a ballot, was broken off; others go on."""
    return sent[CHOICE] == BEHIND and -result[LAST_CHOICE] == ANYTHING


def meeting_code(what: str) -> int:
    """The choice of a rank of which a handler is about to exchange something."""
    return MEETS + zlib.crc32(what.encode()) % MEETS

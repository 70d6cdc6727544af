"""The messages of a vote: the ballot of this rank to the others, and the maxima of all."""

from __future__ import annotations

from collections.abc import Sequence

from ...events import Agreement

RAISED, PHASE, LAST_PHASE = 0, 1, 2
"""Places in a ballot: whether something was raised, the phase, and the phase with its sign changed:
its maximum says whether all ranks are in one phase."""


class VoteExchange:
    """Sends ballots and waits for the result, which a backward pass may ask for earlier.

    Attributes:
        is_open: whether a ballot was sent whose result nobody has taken.
    """

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement
        self._early: Sequence[int] | BaseException | None = None
        self.is_open = False
        agreement.may_reduce = self.may_reduce

    def send(self, ballot: Sequence[int]) -> None:
        """Send the ballot of this rank."""
        self._early = None
        self._agreement.cast(ballot)
        self.is_open = True

    def result(self) -> Sequence[int]:
        """The maxima of the ballots of all ranks."""
        self.is_open = False
        early = self._early
        if isinstance(early, BaseException):
            raise early
        return self._wait() if early is None else early

    def may_reduce(self) -> bool:
        """Wait for the open vote; False if the others do not send their gradients, too."""
        if not self.is_open:
            return True
        if self._early is None:
            try:
                self._early = self._agreement.result()
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
    return result[PHASE] == -result[LAST_PHASE]

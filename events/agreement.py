"""How the ranks of one training agree: what the engine asks for at a vote.

With more than one process, what is raised on one rank is recorded there, and acted upon by all
ranks at the next vote; the run itself goes on to the vote. `Engine.agreement` is None with one
process: nothing is recorded, no vote is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .state import TrainState


class PeerError(RuntimeError):
    """Another rank has failed, so the run of this one ends as well.

    Attributes:
        rank: the rank that has failed; -1 if it is not known.
        raised_by: the handler or activity there.
        raised_in: the phase there.
        traceback: the text of the traceback there; empty if that rank is lost.
    """

    def __init__(
        self,
        message: str,
        rank: int = -1,
        raised_by: str = "",
        raised_in: str = "",
        traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.rank = rank
        self.raised_by = raised_by
        self.raised_in = raised_in
        self.traceback = traceback


class Agreement(Protocol):
    """The votes of all ranks, on a group of their own beside the one that reduces the gradients.

    Every rank takes the same votes, and calls `share` equally often, in the same order.
    """

    vote_watchers: list[Callable[[bool], None]]
    """Called with True before this rank waits in a vote, and with False after it."""

    collective_watchers: list[Callable[[str, bool], None]]
    """Called with what the ranks exchange, "gradients", "weights" or "buffers", and True, before
    this rank waits for that of the others, and with False when it has it."""

    may_reduce: Callable[[], bool]
    """Written by the run: waits for the open vote, and says whether the gradients are wanted. A
    backward pass for which `overlaps` was True calls it before the first message to the others."""

    meet: Callable[[str], None]
    """Written by the run: called with the same text on every rank before handlers exchange
    something. If a rank does not come, as it has raised something before, it raises what leaves the
    handler, which has to let it pass. In an activity, or in a receiver; in `backward` it does
    nothing."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""

    @property
    def world_size(self) -> int:
        """The number of processes."""

    @property
    def collective(self) -> Collection[str]:
        """Names of the activities in which the other ranks wait for this one, `backward`, or do
        without it what cannot be undone, `step`. What is raised inside of them ends the run."""

    def begin(self, failure: BaseException | None) -> None:
        """Wait until every rank says whether it can begin the run, once it is set up there.

        Args:
            failure: what keeps this rank from it; the caller raises it afterwards.

        Raises:
            PeerError: another rank cannot begin, or is lost.
        """

    def cast(self, ballot: Sequence[int]) -> None:
        """Send the ballot of this rank to the others, without waiting for theirs."""

    def result(self) -> Sequence[int]:
        """For each place of the ballots, which are equally long, the maximum over all ranks.

        Waits for the ballots of all; called once after each `cast`.

        Raises:
            PeerError: a rank did not vote in time, or its process has ended.
        """

    def overlaps(self, state: TrainState) -> bool:
        """Whether the vote before the next backward pass can be open while it runs."""

    def undo_backward(self, state: TrainState) -> None:
        """Take back the gradients of the backward pass for which `overlaps` was True."""

    def certain_batches(self, state: TrainState) -> int:
        """How many more batches this rank fetches in the open pass with certainty, at most `every`.

        No vote is taken on as many as are certain on all ranks.
        """

    @property
    def every(self) -> int:
        """The number of batches, from 1, of which one has votes, while more are certain."""

    def share(self, records: Sequence[Mapping[str, str]]) -> Sequence[Sequence[Mapping[str, str]]]:
        """The records of every rank, by rank; called after something was raised.

        Raises:
            PeerError: a rank is lost.
        """

    def abort(self) -> bool:
        """End what the other ranks wait for in a collective activity, so that they fail at once.

        Returns:
            False if another rank was the first: what has failed here follows from that.
        """

    def leave(self) -> None:
        """End all votes: this rank leaves the run by itself, and the others fail at their next."""

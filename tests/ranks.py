"""Ranks as threads of one process: votes, and sums of gradients, in meetings.

`Ranks(2).run(work)` calls `work(rank, agreement)` in a thread each. Nothing waits for more than
`SECONDS`: a rank that does not come is an error of the test.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch

from trackside import PeerError

SECONDS = 60


class NobodyComesError(Exception):
    """A meeting has ended before all ranks have come, or a rank has not come in time."""


class Meeting:
    """Where all ranks leave a value, and take those of all.

    One to which all have come takes place, also for a rank that is waked after another one has
    ended the meetings: as a message that was sent before its sender has left.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._changed = threading.Condition()
        self._rounds: list[dict[int, Any]] = []
        self._attended = [0] * size
        self._is_over = False

    def exchange(self, rank: int, value: Any) -> list[Any]:
        """The values of all ranks."""
        with self._changed:
            place = self._attended[rank]
            self._attended[rank] += 1
            if place == len(self._rounds):
                self._rounds.append({})
            left = self._rounds[place]
            left[rank] = value
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_over or len(left) == self._size, SECONDS)
            if len(left) < self._size:
                raise NobodyComesError
            return [left[each] for each in range(self._size)]

    def end(self) -> None:
        """Let the ranks that wait, or come later, fail."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


class ThreadAgreement:
    """The agreement of one rank among threads."""

    def __init__(self, ranks: Ranks, rank: int) -> None:
        self.ranks = ranks
        self.rank = rank
        self.world_size = ranks.size
        self.collective = ranks.collective
        self.votes: list[list[int]] = []
        self.overlapped = 0
        self.every = ranks.every
        self.vote_watchers: list[Callable[[bool], None]] = []
        self.collective_watchers: list[Callable[[str, bool], None]] = []
        self.may_reduce: Callable[[], bool] = lambda: True
        self.meet: Callable[[str], None] = lambda what: None
        self._ballot: list[int] = []

    def begin(self, failure: BaseException | None) -> None:
        """Fail if another rank does."""
        told = self._exchange(failure)
        if failure is None and any(told):
            raise PeerError(f"the ranks cannot begin: {told}")

    def cast(self, ballot: Sequence[int]) -> None:
        """Keep the ballot: the others see it when this rank waits for the result."""
        self._ballot = list(ballot)

    def result(self) -> list[int]:
        """The maxima of all ballots."""
        ballots = self._exchange(self._ballot)
        self.votes.append([max(column) for column in zip(*ballots, strict=True)])
        return self.votes[-1]

    def overlaps(self, state: Any) -> bool:
        """If the ranks are to, and no gradient is to be added to."""
        overlaps = self.ranks.overlap and all(p.grad is None for p in state.model.parameters())
        self.overlapped += overlaps
        return overlaps

    def undo_backward(self, state: Any) -> None:
        """Clear the gradients."""
        for parameter in state.model.parameters():
            parameter.grad = None

    def certain_batches(self, state: Any) -> int:
        """How many more batches follow, if the ranks trust the length of the loaders."""
        if not self.ranks.certain or state.batches is None or state.n_batches is None:
            return 0
        return max(0, min(self.every, state.n_batches - state.batch_index - 1))

    def share(self, records: Any) -> list[Any]:
        """The records of all ranks."""
        return self._exchange(records)

    def abort(self) -> bool:
        """End the meetings of the data; True for the first."""
        with self.ranks.lock:
            first, self.ranks.aborted = not self.ranks.aborted, True
        self.ranks.data.end()
        return first

    def leave(self) -> None:
        """End both meetings."""
        self.ranks.data.end()
        self.ranks.control.end()

    def average_gradients(self, model: torch.nn.Module) -> None:
        """What DDP does."""
        if not self.may_reduce():
            return
        own = [p.grad for p in model.parameters()]
        for watch in self.collective_watchers:
            watch("gradients", True)
        every = self.ranks.data.exchange(self.rank, [grad.clone() for grad in own])
        for watch in self.collective_watchers:
            watch("gradients", False)
        for place, grad in enumerate(own):
            grad.copy_(sum(grads[place] for grads in every) / self.world_size)

    def _exchange(self, value: Any) -> list[Any]:
        try:
            return self.ranks.control.exchange(self.rank, value)
        except NobodyComesError:
            raise PeerError("another rank has left the votes") from None


class Ranks:
    """Some threads that act as the ranks of one training.

    Args:
        overlap: whether votes stay open while the backward pass runs.
        certain: whether the length of a loader is trusted.
        every: the number of batches of which one has votes.
    """

    def __init__(
        self,
        size: int,
        collective: Sequence[str] = ("backward",),
        overlap: bool = False,
        certain: bool = False,
        every: int = 1,
    ) -> None:
        self.every = every
        self.overlap = overlap
        self.certain = certain
        self.size = size
        self.collective = collective
        self.control, self.data = Meeting(size), Meeting(size)
        self.lock = threading.Lock()
        self.aborted = False

    def run(self, work: Callable[[int, ThreadAgreement], Any]) -> list[Any]:
        """What `work` returns for each rank; the first exception is raised."""
        results: list[Any] = [None] * self.size
        errors: list[BaseException] = []

        def call(rank: int) -> None:
            try:
                results[rank] = work(rank, ThreadAgreement(self, rank))
            except BaseException as error:
                errors.append(error)
                self.data.end()
                self.control.end()

        threads = [threading.Thread(target=call, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * SECONDS)
        for error in errors:
            raise error
        return results


def averaged(agreement: ThreadAgreement) -> Callable[[Any], Any]:
    """A wrap of `backward` that averages the gradients over the ranks."""

    def wrap(backward: Callable[[Any], str]) -> Callable[[Any], str]:
        def run(state: Any) -> str:
            trigger = backward(state)
            agreement.average_gradients(state.model)
            return trigger

        return run

    return wrap


def same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    """Whether two tensors are equal, but for the rounding of an average of three."""
    if one is None or other is None:
        return one is other
    return torch.allclose(one, other, rtol=1e-6, atol=1e-6)

"""Ranks as threads of one process: votes, and sums of gradients, over a barrier.

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


class Meeting:
    """Where all ranks leave a value, and take those of all."""

    def __init__(self, size: int) -> None:
        self.left: list[Any] = [None] * size
        self.barrier = threading.Barrier(size, timeout=SECONDS)

    def exchange(self, rank: int, value: Any) -> list[Any]:
        """The values of all ranks."""
        self.left[rank] = value
        self.barrier.wait()
        values = list(self.left)
        self.barrier.wait()
        return values


class ThreadAgreement:
    """The agreement of one rank among threads."""

    def __init__(self, ranks: Ranks, rank: int) -> None:
        self.ranks = ranks
        self.rank = rank
        self.world_size = ranks.size
        self.collective = ranks.collective
        self.votes: list[list[int]] = []
        self.vote_watchers: list[Callable[[bool], None]] = []

    def vote(self, ballot: Sequence[int]) -> list[int]:
        """The maxima of all ballots."""
        ballots = self._exchange(list(ballot))
        self.votes.append([max(column) for column in zip(*ballots, strict=True)])
        return self.votes[-1]

    def share(self, records: Any) -> list[Any]:
        """The records of all ranks."""
        return self._exchange(records)

    def abort(self) -> bool:
        """Break the barrier of the data; True for the first."""
        with self.ranks.lock:
            first, self.ranks.aborted = not self.ranks.aborted, True
        self.ranks.data.barrier.abort()
        return first

    def leave(self) -> None:
        """Break both barriers."""
        self.ranks.data.barrier.abort()
        self.ranks.control.barrier.abort()

    def average_gradients(self, model: torch.nn.Module) -> None:
        """What DDP does."""
        own = [p.grad for p in model.parameters()]
        every = self.ranks.data.exchange(self.rank, [grad.clone() for grad in own])
        for place, grad in enumerate(own):
            grad.copy_(sum(grads[place] for grads in every) / self.world_size)

    def _exchange(self, value: Any) -> list[Any]:
        try:
            return self.ranks.control.exchange(self.rank, value)
        except threading.BrokenBarrierError:
            raise PeerError("another rank has left the votes") from None


class Ranks:
    """Some threads that act as the ranks of one training."""

    def __init__(self, size: int, collective: Sequence[str] = ("backward",)) -> None:
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
                self.data.barrier.abort()
                self.control.barrier.abort()

        threads = [threading.Thread(target=call, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * SECONDS)
        for error in errors:
            raise error
        return results

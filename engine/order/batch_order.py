"""Which examples are in which batch of which epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from ...events.utils.rank_share import rank_share
from ..randomness.batch_generators import seed_of

_BLOCK = 4096  # examples of an order that become a list at once


class BatchRequest(NamedTuple):
    """The key of a batch and the indices of its examples.

    Of several ranks each has batch numbers of its own.
    """

    seed: int
    epoch: int
    batch: int
    examples: list[int]


class BatchOrder:
    """Chooses the examples of each batch of an epoch; a batch sampler for torch's `DataLoader`.

    Attributes:
        seed: of the order and of the random numbers; it may be changed between two passes.
        rank, ranks: whose share of each batch is read. A whole batch, of which every rank reads its
            share, has `batch_size` examples for each rank.
    """

    rank, ranks = 0, 1

    def __init__(
        self, dataset: Any, batch_size: int, shuffle: bool, seed: int, drop_last: bool
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self._start = 0, 0

    def arguments(self) -> dict[str, Any]:
        """The arguments that define the order; a position is valid only for the same ones."""
        return {
            "seed": self.seed,
            "examples": len(self.dataset),
            "batch_size": self.batch_size * self.ranks,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def start_at(self, epoch: int, batch: int) -> None:
        """Start the next iterator at this batch."""
        self._start = epoch, batch

    def fingerprint(self, epoch: int) -> str:
        """A hash of the batches of an epoch; empty: the arguments say which they are."""
        return ""

    def length(self, epoch: int) -> int:
        """Batches in an epoch."""
        return self.batches_of(len(self.dataset))

    def batches_of(self, examples: int) -> int:
        """Batches that some examples make."""
        whole, rest = divmod(examples, self.batch_size * self.ranks)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[BatchRequest]:
        return self.requests(*self._start)

    def requests(self, epoch: int, first: int) -> Iterator[BatchRequest]:
        """The batches of an epoch from `first` on."""
        order, begin = self.permutation(epoch), 0
        rows: list[int] = []
        for batch, (start, stop) in enumerate(self.bounds(epoch, first), first):
            if order is None:
                chosen = [*range(start, stop)]
            else:
                if not begin <= start <= stop <= begin + len(rows):
                    begin, rows = start, order[start : max(stop, start + _BLOCK)].tolist()
                chosen = rows[start - begin : stop - begin]
            yield BatchRequest(self.seed, epoch, batch * self.ranks + self.rank, chosen)

    def bounds(self, epoch: int, first: int) -> Iterator[tuple[int, int]]:
        """Where in the order of an epoch the batches of this rank start and stop, from `first` on.

        A rank without a share in a batch, which has fewer examples than ranks, reads its first.
        """
        for start, stop in self.whole_bounds(epoch, first):
            mine, end = rank_share(start, stop, self.rank, self.ranks)
            yield (mine, end) if mine < end else (start, start + 1)

    def counts(self, epoch: int, batch: int) -> tuple[int, int]:
        """How many examples of a batch this rank has, and all ranks have together."""
        start, stop = next(iter(self.whole_bounds(epoch, batch)))
        mine, end = rank_share(start, stop, self.rank, self.ranks)
        return end - mine, stop - start

    def whole_bounds(self, epoch: int, first: int) -> Iterator[tuple[int, int]]:
        """Where in the order of an epoch the whole batches from `first` on start and stop."""
        size, count = self.batch_size * self.ranks, len(self.dataset)
        for batch in range(first, self.length(epoch)):
            yield batch * size, min(count, (batch + 1) * size)

    def permutation(self, epoch: int) -> torch.Tensor | None:
        """The examples in the order of an epoch, int64; None: in their own order."""
        if not self.shuffle:
            return None
        generator = torch.Generator("cpu").manual_seed(seed_of(self.seed, epoch))
        return torch.randperm(len(self.dataset), generator=generator)

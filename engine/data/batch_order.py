"""Which examples are in which batch of which epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from .batch_generators import seed_of


class BatchRequest(NamedTuple):
    """The key of a batch and the indices of its examples."""

    epoch: int
    batch: int
    examples: list[int]


class BatchOrder:
    """Chooses the examples of each batch of an epoch; a batch sampler for torch's `DataLoader`."""

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
            "batch_size": self.batch_size,
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
        whole, rest = divmod(examples, self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[BatchRequest]:
        return self.requests(*self._start)

    def requests(self, epoch: int, first: int) -> Iterator[BatchRequest]:
        """The batches of an epoch from `first` on."""
        order = self.permutation(epoch)
        for batch, (start, stop) in enumerate(self.bounds(epoch, first), first):
            chosen = range(start, stop) if order is None else order[start:stop].tolist()
            yield BatchRequest(epoch, batch, list(chosen))

    def bounds(self, epoch: int, first: int) -> Iterator[tuple[int, int]]:
        """Where in the order of an epoch the batches from `first` on start and stop."""
        size, count = self.batch_size, len(self.dataset)
        for batch in range(first, self.length(epoch)):
            yield batch * size, min(count, (batch + 1) * size)

    def permutation(self, epoch: int) -> torch.Tensor | None:
        """The examples in the order of an epoch, int64; None: in their own order."""
        if not self.shuffle:
            return None
        generator = torch.Generator("cpu").manual_seed(seed_of(self.seed, epoch))
        return torch.randperm(len(self.dataset), generator=generator)

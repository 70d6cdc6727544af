"""Which examples are in which batch of an epoch, where a sampler chooses them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Any

import torch

from .batch_order import BatchOrder
from .sampling import Sampler, check_sampler, read_sampler

_INTEGERS = {torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8}


class Chosen:
    """The examples of an epoch, and where in them its batches begin and end.

    Attributes:
        order: the examples, int64.
        edges: where the batches begin; the last one is the end.
    """

    def __init__(self, order: torch.Tensor, edges: Sequence[int]) -> None:
        self.order, self.edges = order, edges
        self._fingerprint = ""

    def fingerprint(self) -> str:
        """A hash of the batches."""
        if not self._fingerprint:
            numbers = array("q", [*self.order.tolist(), *self.edges])
            self._fingerprint = blake2b(numbers, digest_size=8).hexdigest()
        return self._fingerprint


class SampledOrder(BatchOrder):
    """Has a sampler choose the examples of each epoch, which are kept for two epochs.

    Args:
        sampler: gives the indices of the examples of an epoch, as often as it likes.
        batch_size: None: it gives the batches, lists of indices.
    """

    def __init__(
        self, dataset: Any, sampler: Sampler, batch_size: int | None, seed: int, drop_last: bool
    ) -> None:
        super().__init__(dataset, batch_size or 1, False, seed, drop_last)
        self.name = "sampler" if batch_size else "batch_sampler"
        self.sampler = sampler
        check_sampler(self.name, sampler, len(dataset))
        self._chosen: dict[tuple[int, int, int], Chosen] = {}
        self._ranks_chosen = self.ranks

    def arguments(self) -> dict[str, Any]:
        """The arguments that define the order; a position is valid only for the same ones."""
        kind = getattr(self.sampler, "__qualname__", type(self.sampler).__qualname__)
        own = {"batch_size": 1} if self.name == "batch_sampler" else {}
        return {**super().arguments(), **own, self.name: kind}

    def fingerprint(self, epoch: int) -> str:
        """A hash of the batches of an epoch."""
        return self.chosen(epoch).fingerprint()

    def length(self, epoch: int) -> int:
        """Batches in an epoch."""
        return len(self.chosen(epoch).edges) - 1

    def whole_bounds(self, epoch: int, first: int) -> Iterator[tuple[int, int]]:
        """Where in the order of an epoch the whole batches from `first` on start and stop."""
        edges = self.chosen(epoch).edges
        return zip(edges[first:-1], edges[first + 1 :], strict=True)

    def permutation(self, epoch: int) -> torch.Tensor | None:
        """The examples in the order of an epoch, int64."""
        return self.chosen(epoch).order

    def chosen(self, epoch: int) -> Chosen:
        """What the sampler gives in an epoch.

        Raises:
            TypeError, IndexError: they are no indices of the dataset.
            ValueError: the sampler divides them among ranks, and so does the loader.
        """
        if self.ranks > 1 and hasattr(self.sampler, "num_replicas"):
            raise ValueError(
                f"{self._tried()}: it chooses for one rank, and the loader divides each "
                "batch among the ranks itself; allowed: a sampler of all examples"
            )
        if self._ranks_chosen != self.ranks:
            self._chosen, self._ranks_chosen = {}, self.ranks
        key = self.seed, epoch, self.ranks
        if key not in self._chosen:
            before = self.seed, epoch - 1, self.ranks
            self._chosen = {k: kept for k, kept in self._chosen.items() if k == before}
            self._chosen[key] = self._choose(read_sampler(self.sampler, self.seed, epoch))
        return self._chosen[key]

    def _choose(self, given: list[Any]) -> Chosen:
        if self.name == "sampler":
            order = self._checked(given)
            count = len(order)
            size = self.batch_size * self.ranks
            starts = (batch * size for batch in range(self.batches_of(count) + 1))
            return Chosen(order, [min(count, start) for start in starts])
        batches = [[*batch] if isinstance(batch, Iterable) else [] for batch in given]
        for batch, found in zip(batches, given, strict=True):
            if not batch:
                raise TypeError(f"{self._tried()} gave {found!r}; allowed: lists of indices")
        edges = [0, *accumulate(map(len, batches))]
        return Chosen(self._checked([index for batch in batches for index in batch]), edges)

    def _checked(self, indices: list[Any]) -> torch.Tensor:
        order, count = torch.as_tensor(indices), len(self.dataset)
        if not len(order):
            return torch.empty(0, dtype=torch.int64)
        if order.dtype not in _INTEGERS or order.dim() != 1:
            found = f"{order.dtype} of shape {tuple(order.shape)}"
            raise TypeError(f"{self._tried()} gave {found}; allowed: integers, one an example")
        least, most = int(order.min()), int(order.max())
        if least < 0 or most >= count:
            raise IndexError(
                f"{self._tried()} gave indices from {least} to {most}; allowed: 0 to {count - 1}, "
                f"of the {count} examples of the dataset"
            )
        return order.to(torch.int64)

    def _tried(self) -> str:
        return f"KeyedLoader({self.name}={self.arguments()[self.name]})"

"""The share of a rank in a loader: its part of every batch, without one example twice."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset

from ...events import TrainState
from ...events.utils.rank_share import rank_share

Counts = Callable[[int], tuple[int, int]]
"""For the index of a batch in its pass: how many examples of it this rank has, and all have."""


class RankBatches:
    """The batches of one rank: contiguous shares of batches that are `ranks` times as large.

    Two ranks read together what one process reads with twice the batch size. The order is a
    function of the seed and the epoch. If the last batch has fewer examples than there are ranks,
    those without one read its first; `counts` has 0 for them.

    Args:
        sampler: yields indices; one with a `generator` draws from a generator with the same seed
            on all ranks, any other one must yield the same everywhere.
    """

    def __init__(
        self, sampler: Any, batch_size: int, drop_last: bool, seed: int, rank: int, ranks: int
    ) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Use the order of this epoch in the next pass."""
        self._epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size * self.ranks)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self._seeded_sampler())
        for batch in range(len(self)):
            start, stop = self._bounds(batch)
            first, last = rank_share(start, stop, self.rank, self.ranks)
            yield order[first:last] or order[start : start + 1]

    def counts(self, batch: int) -> tuple[int, int]:
        """How many examples of a batch this rank has, and all ranks have together."""
        start, stop = self._bounds(batch)
        first, last = rank_share(start, stop, self.rank, self.ranks)
        return last - first, stop - start

    def _bounds(self, batch: int) -> tuple[int, int]:
        size = self.batch_size * self.ranks
        return batch * size, min(len(self.sampler), (batch + 1) * size)

    def _seeded_sampler(self) -> Any:
        if not hasattr(self.sampler, "generator"):
            return self.sampler
        sampler = copy.copy(self.sampler)
        key = hashlib.blake2b(f"{self.seed} {self._epoch}".encode(), digest_size=7).digest()
        sampler.generator = torch.Generator().manual_seed(int.from_bytes(key, "little"))
        return sampler


class LoaderShards:
    """The loaders of a run, sharded for its time; knows the counts of every batch."""

    def __init__(self, rank: int, ranks: int, seed: int) -> None:
        self.rank = rank
        self.ranks = ranks
        self.seed = seed
        self.undo = ExitStack()
        self._counts: dict[int, Counts] = {}
        self._sampled: set[int] = set()

    def shard(self, state: TrainState) -> None:
        """Replace the loaders of the state; `undo.close()` puts them back.

        Raises:
            TypeError, ValueError: a loader cannot be sharded, or is sharded for other ranks.
        """
        train, valid = state.train_loader, state.valid_loader
        self.undo.callback(setattr, state, "train_loader", train)
        self.undo.callback(setattr, state, "valid_loader", valid)
        if train is not None:
            state.train_loader = self._shard_of("train_loader", train)
        if isinstance(valid, Mapping):
            shards = {
                name: self._shard_of(f"valid_loader {name!r}", v) for name, v in valid.items()
            }
            state.valid_loader = shards
        elif valid is not None:
            state.valid_loader = self._shard_of("valid_loader", valid)

    def counts(self, loader: Any, batch: int) -> tuple[int, int] | None:
        """Examples of a batch on this rank and on all; None if the loader was left alone."""
        counts = self._counts.get(id(loader))
        return None if counts is None else counts(batch)

    def know_length(self, loader: Any) -> bool:
        """Whether `len(loader)` is certain: all ranks have the same number of batches."""
        return id(loader) in self._counts or id(loader) in self._sampled

    def _shard_of(self, name: str, loader: Any) -> Any:
        if hasattr(loader, "set_rank"):
            found = getattr(loader, "share", (0, 1))
            if found not in ((0, 1), (self.rank, self.ranks)):
                raise ValueError(self._other_rank(name, loader, found))
            loader.set_rank(self.rank, self.ranks)
            self.undo.callback(loader.set_rank, *found)
            self._counts[id(loader)] = loader.rank_counts
            return loader
        if self._is_sharded(name, loader):
            if not isinstance(getattr(loader, "dataset", None), IterableDataset):
                self._sampled.add(id(loader))
            return loader
        _check_shardable(name, loader)
        sampler = loader.batch_sampler
        batches = RankBatches(
            sampler.sampler,
            sampler.batch_size,
            sampler.drop_last,
            _seed_of(loader, self.seed),
            self.rank,
            self.ranks,
        )
        sharded = copy.copy(loader)
        vars(sharded).update(batch_sampler=batches, sampler=batches.sampler, _iterator=None)
        self._counts[id(sharded)] = batches.counts
        return sharded

    def _is_sharded(self, name: str, loader: Any) -> bool:
        """Whether a DistributedSampler shards it.

        Raises:
            ValueError: for other ranks than these.
        """
        inner = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
        sampler = next(
            (s for s in (getattr(loader, "sampler", None), inner) if _shards_itself(s)), None
        )
        if sampler is None:
            return False
        found = sampler.rank, sampler.num_replicas
        if found != (self.rank, self.ranks):
            raise ValueError(self._other_rank(name, sampler, found))
        return True

    def _other_rank(self, name: str, owner: Any, found: tuple[int, int]) -> str:
        return (
            f"{name}: its {type(owner).__name__} has rank {found[0]} of {found[1]}, and this "
            f"process has rank {self.rank} of {self.ranks}"
        )


def loader_of(state: TrainState) -> Any:
    """The loader of the open pass."""
    if state.training:
        return state.train_loader
    valid = state.valid_loader
    return valid[state.evaluation] if isinstance(valid, dict) else valid


def _shards_itself(sampler: Any) -> bool:
    is_like_one = hasattr(sampler, "num_replicas") and hasattr(sampler, "rank")
    return isinstance(sampler, DistributedSampler) or is_like_one


def _check_shardable(name: str, loader: Any) -> None:
    allowed = (
        "allowed: a DataLoader of a dataset with a length, a KeyedLoader, a DistributedSampler, or "
        "Distributed(shard=False) with a loader that yields other batches on each rank"
    )
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        kind = type(loader.dataset if isinstance(loader, DataLoader) else loader).__name__
        raise TypeError(f"Distributed cannot shard the {name}, a {kind}: {allowed}")
    if type(loader.batch_sampler) is not BatchSampler:
        kind = type(loader.batch_sampler).__name__
        raise TypeError(
            f"Distributed cannot shard the {name}: its batch_sampler is a {kind}, which makes "
            f"batches of its own; {allowed}"
        )


def _seed_of(loader: Any, default: int) -> int:
    """The seed that the user gave to the generator of a loader or its sampler."""
    for owner in (loader.batch_sampler.sampler, loader):
        generator = getattr(owner, "generator", None)
        if generator is not None:
            return int(generator.initial_seed())
    return default

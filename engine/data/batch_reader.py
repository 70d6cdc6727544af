"""Reads a batch of a dataset, with random numbers that are a function of its key."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset, Subset, default_collate, get_worker_info

from .batch_generators import BatchGenerators, digest_of
from .batch_order import BatchOrder, BatchRequest
from .host_generators import keyed_host_generators, seed_host_generators
from .in_memory import column_reader

Collate = Callable[[list[Any]], Any]

_WRITERS = "trackside checkpoint"  # threads that write files, and draw nothing
_SEQUENCES = (list, tuple, range)
_VALUES = (Tensor, int, float, bool, complex, str, bytes)


class BatchReader(Dataset[Any]):
    """Makes batches from the examples of a dataset; a dataset of batches for `DataLoader`."""

    def __init__(self, dataset: Any, seed: int, collate_fn: Collate | None) -> None:
        self.dataset = dataset
        self.seed = seed
        self.collate = collate_fn or default_collate
        self._random_getitem = _random_getitem_of(dataset)
        self._has_warned = False

    def batches(self, order: BatchOrder, epoch: int, first: int) -> Iterator[Any]:
        """The batches of an epoch from `first` on, read in this process."""
        if self.collate is default_collate:
            read = column_reader(self.dataset, order.permutation(epoch))
            if read is not None:
                return (read(start, stop) for start, stop in order.bounds(first))
        return map(self.__getitems__, order.requests(epoch, first))

    def __getitems__(self, request: BatchRequest) -> Any:
        if self._random_getitem is not None:
            generators = BatchGenerators(self._key(request))
            return self.collate([self._random_getitem(i, generators) for i in request.examples])
        if get_worker_info() is not None:  # the generators of a worker are not shared
            seed_host_generators(self._key(request))
            return self.collate(self._examples(request.examples))
        if type(self.dataset) in _SEQUENCES and self.collate is default_collate:
            examples = self._examples(request.examples)
            if all(map(_draws_nothing, examples)):
                return self.collate(examples)
        return self._keyed_batch(request)

    def _key(self, request: BatchRequest) -> bytes:
        return digest_of(self.seed, request.epoch, request.batch)

    def _keyed_batch(self, request: BatchRequest) -> Any:
        others = [] if self._has_warned else _other_threads()
        with keyed_host_generators(self._key(request), watch=bool(others)) as drawn:
            batch = self.collate(self._examples(request.examples))
        if drawn:
            self._warn(drawn, others)
        return batch

    def _examples(self, indices: list[int]) -> list[Any]:
        many = getattr(self.dataset, "__getitems__", None)
        return many(indices) if many else [self.dataset[i] for i in indices]

    def _warn(self, drawn: list[str], others: list[threading.Thread]) -> None:
        self._has_warned = True
        warnings.warn(
            f"KeyedLoader({type(self.dataset).__name__}): random numbers were drawn from the "
            f"global generators of {', '.join(drawn)} during a batch, while other threads run "
            f"({', '.join(thread.name for thread in others)}). If those draw from these "
            "generators, too, neither they nor the batches get their own random numbers. "
            "Allowed: num_workers=1 or more, or a dataset with random_getitem(index, generators)",
            RuntimeWarning,
            stacklevel=2,
        )


def _random_getitem_of(dataset: Any) -> Callable[[int, BatchGenerators], Any] | None:
    """The method of a dataset that draws from given generators; of a `Subset`, its dataset's."""
    if type(dataset) is not Subset:
        return getattr(dataset, "random_getitem", None)
    inner = _random_getitem_of(dataset.dataset)
    return inner and _SubsetGetitem(dataset, inner)


class _SubsetGetitem:
    """`random_getitem` of a `Subset`; a class, because it is sent to workers."""

    def __init__(self, subset: Subset[Any], inner: Callable[[int, BatchGenerators], Any]) -> None:
        self.subset = subset
        self.inner = inner

    def __call__(self, index: int, generators: BatchGenerators) -> Any:
        return self.inner(self.subset.indices[index], generators)


def _other_threads() -> list[threading.Thread]:
    """Threads that may run a program's code; daemons mostly serve a library."""
    if threading.active_count() == 1:
        return []
    current = threading.current_thread()
    others = [t for t in threading.enumerate() if t is not current and not t.daemon]
    return [t for t in others if not t.name.startswith(_WRITERS)]


def _draws_nothing(example: Any) -> bool:
    """Whether collating an example runs no code of the user's."""
    kind = type(example)
    if kind in (list, tuple):
        return all(map(_draws_nothing, example))
    if kind is dict:
        return all(map(_draws_nothing, example.values()))
    numpy = sys.modules.get("numpy")
    return kind in _VALUES or (numpy is not None and kind.__module__ == numpy.__name__)

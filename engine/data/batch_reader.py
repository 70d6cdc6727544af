"""Reads a batch of a dataset, with random numbers that are a function of its key."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset, Subset, default_collate, get_worker_info

from ...events import Cancel
from ..order.batch_order import BatchOrder, BatchRequest
from ..order.epoch_setting import call_set_epoch, with_inner
from ..order.skipping import Reduced, SkipExample, packed, read_examples
from ..randomness.batch_generators import BatchGenerators, digest_of
from ..randomness.host_generators import KeyedHostGenerators, seed_host_generators
from .in_memory import column_reader

Collate = Callable[[list[Any]], Any]

_WRITERS = "trackside checkpoint"  # threads that write files, and draw nothing
_TRIAL = 2  # batches that show from which generators a dataset draws; only those are seeded then
_SEQUENCES = (list, tuple, range)
_NOT_ONE_EXAMPLE = (
    "Raised by __getitems__ or collate_fn, which have more than one example: allowed there are a "
    "shorter list, and CancelBatchException"
)
_VALUES = (Tensor, int, float, bool, complex, str, bytes)


class BatchReader(Dataset[Any]):
    """Makes batches from the examples of a dataset; a dataset of batches for `DataLoader`."""

    def __init__(self, dataset: Any, collate_fn: Collate | None) -> None:
        self.dataset = dataset
        self.collate = collate_fn or default_collate
        self._random_getitem = _random_getitem_of(dataset)
        self._has_getitems = _has_getitems(dataset)
        self._has_warned = False
        self._trial = _TRIAL
        self._drawn: frozenset[str] = frozenset()  # generators from which the dataset draws
        self._epoch: int | None = None

    def batches(self, order: BatchOrder, epoch: int, first: int) -> Iterator[Any]:
        """The batches of an epoch from `first` on, read in this process."""
        if self.collate is default_collate:
            read = column_reader(self.dataset, order.permutation(epoch))
            if read is not None:
                return (read(start, stop) for start, stop in order.bounds(epoch, first))
        return map(self.__getitems__, order.requests(epoch, first))

    def __getitems__(self, request: BatchRequest) -> Any:
        in_worker = get_worker_info() is not None
        skipped: list[str] = []
        try:
            if request.epoch != self._epoch:  # told in each worker
                self._tell_epoch(request.epoch)
            batch = self._read(request, skipped, in_worker)
        except Cancel as cancel:
            return Reduced(None, tuple(skipped), packed(cancel) if in_worker else cancel)
        except Exception as error:
            if isinstance(error, SkipExample):
                error.add_note(_NOT_ONE_EXAMPLE)
            if not in_worker:
                raise
            return Reduced(None, tuple(skipped), packed(error))
        return Reduced(batch, tuple(skipped)) if skipped else batch

    def _tell_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        call_set_epoch(with_inner(self.dataset), epoch)

    def _read(self, request: BatchRequest, skipped: list[str], in_worker: bool) -> Any:
        if self._random_getitem is not None:
            get, generators = self._random_getitem, BatchGenerators(self._key(request))
            return self._collated(
                read_examples(lambda i: get(i, generators), request.examples, skipped)
            )
        if in_worker:  # the generators of a worker are not shared
            seed_host_generators(self._key(request))
            return self._collated(self._examples(request.examples, skipped))
        if type(self.dataset) in _SEQUENCES and self.collate is default_collate:
            examples = self._examples(request.examples, skipped)
            if all(map(_draws_nothing, examples)):
                return self._collated(examples)
        return self._keyed_batch(request, skipped)

    def _collated(self, examples: list[Any]) -> Any:
        """A batch; None if no example is left."""
        return self.collate(examples) if examples else None

    def _key(self, request: BatchRequest) -> bytes:
        return digest_of(*request[:3])

    def _keyed_batch(self, request: BatchRequest, skipped: list[str]) -> Any:
        others = [] if self._has_warned else _other_threads()
        if self._trial == 0 and not others:
            key = self._key(request) if self._drawn else b""
            with KeyedHostGenerators(key, self._drawn) as generators:
                batch = self._collated(self._examples(request.examples, skipped))
            if not generators.surprising:
                return batch
            skipped.clear()  # read it again, with all generators seeded
        with KeyedHostGenerators(self._key(request)) as generators:
            batch = self._collated(self._examples(request.examples, skipped))
        self._trial, self._drawn = max(0, self._trial - 1), self._drawn | generators.moved
        if generators.moved and others:
            self._warn(sorted(generators.moved), others)
        return batch

    def _examples(self, indices: list[int], skipped: list[str]) -> list[Any]:
        if self._has_getitems:
            whole: list[Any] = self.dataset.__getitems__(indices)
            return whole
        return read_examples(self.dataset.__getitem__, indices, skipped)

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


def _has_getitems(dataset: Any) -> bool:
    """Whether whole batches are read; a `Subset` would hide which of them an example is."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return hasattr(dataset, "__getitems__")


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

"""A loader whose order and randomness depend only on a key, so that its position can be saved."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate, get_worker_info

from ...events.argument_checks import check_whole_number
from .parent_watchdog import ParentWatchdog
from .rng_state import digest_of, preserve_host_generators, seed_host_generators

Collate = Callable[[list[Any]], Any]


class KeyedLoader:
    """Loads a map-style dataset with torch's `DataLoader`; resumes at any batch at once.

    The order of an epoch is a function of `(seed, epoch)`. The random numbers that the dataset and
    `collate_fn` draw from the generators of Python, NumPy and torch (CPU) are a function of
    `(seed, epoch, batch)`, so the batches are the same for every number of workers, and after a
    resume. The global generators are left unchanged. Each pass is the next epoch, even if the pass
    before was abandoned.

    Args:
        dataset: has `__len__` and `__getitem__`; `__getitems__`, if present, loads a whole batch.
        batch_size: examples in a batch, from 1; the last batch of an epoch may be smaller.
        shuffle: use another random order in each epoch.
        seed: for the order and the random numbers.
        drop_last: drop the last batch if it is smaller.
        collate_fn: makes a batch from a list of examples; None: torch's `default_collate`.
        worker_init_fn: called in each worker with the worker id.
        options: other `DataLoader` arguments: `num_workers`, `pin_memory`, `prefetch_factor`, ….

    Raises:
        TypeError: the dataset has no length or is an `IterableDataset`; an option is unknown, or
            is set by this loader itself.
        ValueError: an argument is out of range.

    Cost: without workers about 0.15 ms a batch, to restore the global generators. A shuffled epoch
    keeps its order in memory, 8 bytes an example. Resuming at batch 1,000,000 costs the same as at
    batch 10: no earlier example is loaded.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        seed: int = 0,
        drop_last: bool = False,
        collate_fn: Collate | None = None,
        worker_init_fn: Callable[[int], None] | None = None,
        **options: Any,
    ) -> None:
        _check(dataset, batch_size, seed, options)
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self._batch_sampler = _BatchSampler(dataset, batch_size, shuffle, seed, drop_last)
        self._loader: DataLoader[Any] = DataLoader(
            _KeyedDataset(dataset, seed, collate_fn or default_collate),
            batch_sampler=self._batch_sampler,  # type: ignore[arg-type]  # yields requests for _KeyedDataset
            collate_fn=_identity,
            generator=torch.Generator(),  # seeds the workers; _KeyedDataset reseeds
            worker_init_fn=ParentWatchdog(worker_init_fn),
            **options,
        )
        self._epoch = 0
        self._batch = 0
        self._current_pass: object | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and index of the next batch, 0-based; after the last batch `(epoch + 1, 0)`."""
        return self._epoch, self._batch

    def state_dict(self) -> dict[str, Any]:
        """The position, and the arguments that it is valid for."""
        return {"epoch": self._epoch, "batch": self._batch, **self._batch_sampler.arguments()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Start the next pass at a saved position.

        Raises:
            ValueError: the seed, dataset length, batch size, … differ from the saved ones.
        """
        arguments = self._batch_sampler.arguments()
        different = [name for name, value in arguments.items() if state[name] != value]
        if different:
            raise ValueError(
                "the saved position is from a KeyedLoader with other arguments: "
                + "; ".join(f"{n} was {state[n]}, is {arguments[n]}" for n in different)
            )
        self._epoch, self._batch, self._current_pass = state["epoch"], state["batch"], None

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        """The batches from the position on; of the next epoch, if the last pass was abandoned."""
        if self._current_pass is not None:
            self._abandon_pass(self._current_pass)
        self._current_pass = pass_id = object()
        return _Pass(self, pass_id)

    def _read_batches(self, pass_id: object, epoch: int, first: int) -> Generator[Any, None, None]:
        self._batch_sampler.start_at(epoch, first)
        for batch, loaded in enumerate(self._loader, first + 1):
            if self._current_pass is pass_id:
                last = batch == len(self)
                self._epoch, self._batch = (epoch + 1, 0) if last else (epoch, batch)
            yield loaded

    def _abandon_pass(self, pass_id: object) -> None:
        """Skip the remaining batches of an abandoned pass: the next one starts a new epoch."""
        if self._current_pass is pass_id:
            self._current_pass = None
            if self._batch:
                self._epoch, self._batch = self._epoch + 1, 0


class _Pass:
    """The batches of one pass; a generator would not notice that it is dropped before its start."""

    def __init__(self, loader: KeyedLoader, pass_id: object) -> None:
        self.loader = loader
        self.pass_id = pass_id
        self.batches = loader._read_batches(pass_id, *loader.position)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.batches)

    def close(self) -> None:
        """Stop reading; the workers exit."""
        self.batches.close()
        self.loader._abandon_pass(self.pass_id)

    def __del__(self) -> None:
        self.loader._abandon_pass(self.pass_id)


class _BatchRequest(NamedTuple):
    """The key of a batch and the indices of its examples."""

    epoch: int
    batch: int
    examples: list[int]


class _BatchSampler:
    """Chooses the examples of each batch of an epoch."""

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

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[_BatchRequest]:
        return self._requests(*self._start)

    def _requests(self, epoch: int, first: int) -> Iterator[_BatchRequest]:
        size, count = self.batch_size, len(self.dataset)
        order = self._permutation(epoch, count) if self.shuffle else None
        for batch in range(first, len(self)):
            examples = range(batch * size, min(count, (batch + 1) * size))
            chosen = examples if order is None else order[examples.start : examples.stop].tolist()
            yield _BatchRequest(epoch, batch, list(chosen))

    def _permutation(self, epoch: int, count: int) -> torch.Tensor:
        key = int.from_bytes(digest_of(self.seed, epoch)[:8], "little")
        return torch.randperm(count, generator=torch.Generator("cpu").manual_seed(key))


class _KeyedDataset(Dataset[Any]):
    """Loads whole batches, each with the random number generators seeded by its key."""

    def __init__(self, dataset: Any, seed: int, collate: Collate) -> None:
        self.dataset = dataset
        self.seed = seed
        self.collate = collate

    def __getitems__(self, request: _BatchRequest) -> Any:
        key = digest_of(self.seed, request.epoch, request.batch)
        if get_worker_info() is not None:  # a worker's generators are not shared
            seed_host_generators(key)
            return self._batch(request.examples)
        with preserve_host_generators():
            seed_host_generators(key)
            return self._batch(request.examples)

    def _batch(self, examples: list[int]) -> Any:
        many = getattr(self.dataset, "__getitems__", None)
        return self.collate(many(examples) if many else [self.dataset[i] for i in examples])


def _identity(batch: Any) -> Any:
    return batch


def _check(dataset: Any, batch_size: Any, seed: Any, options: Mapping[str, Any]) -> None:
    if isinstance(dataset, IterableDataset) or not (
        hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    ):
        raise TypeError(
            f"KeyedLoader({type(dataset).__name__}): expected a dataset with __len__ and "
            "__getitem__; a stream has no positions"
        )
    check_whole_number(f"KeyedLoader(batch_size={batch_size!r})", batch_size, 1)
    check_whole_number(f"KeyedLoader(seed={seed!r})", seed)
    reserved = options.keys() & {"sampler", "batch_sampler", "generator"}
    if reserved:
        raise TypeError(f"KeyedLoader({min(reserved)}=…): order and randomness come from seed=")

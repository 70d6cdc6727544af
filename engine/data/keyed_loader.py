"""A loader whose order and randomness are functions of a key, so that its position is a value."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate, get_worker_info

from .parent_watchdog import EndsWithTrainer
from .rng_state import digest, host_generators_kept, seed_host_generators

Collate = Callable[[list[Any]], Any]


class KeyedLoader:
    """Batches of a map-style dataset, by torch's own `DataLoader`, from any position at once.

    The order of an epoch is a function of `(seed, epoch)`. What the dataset and `collate_fn` draw
    from the generators of Python, NumPy and torch (CPU) is a function of `(seed, epoch, batch)`,
    so the stream is the same for every number of workers, and after a resume. The generators of
    the program are neither drawn from nor moved. Each pass is the next epoch, also where the one
    before was left in the middle.

    Args:
        dataset: has `__len__` and `__getitem__`, or `__getitems__` for a whole batch.
        batch_size: examples in a batch, from 1; the last batch of an epoch may be smaller.
        shuffle: whether each epoch has an order of its own.
        seed: of order and randomness.
        drop_last: leave out a last batch that is smaller.
        collate_fn: makes a batch of a list of examples; None: torch's `default_collate`.
        worker_init_fn: called in each worker with its number.
        options: what else `DataLoader` takes: `num_workers`, `pin_memory`, `persistent_workers`, ….

    Raises:
        TypeError: the dataset has no length or is an `IterableDataset`; an option is unknown, or
            is one that this loader decides.
        ValueError: an argument is out of range.

    Cost: without workers about 0.15 ms a batch, to put the generators of the program back. A
    shuffled epoch holds its order, 8 bytes an example. To resume at batch 1,000,000 takes what it
    takes at batch 10: nothing that came before is touched.
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
        self._order = _Order(dataset, batch_size, shuffle, seed, drop_last)
        self._loader: DataLoader[Any] = DataLoader(
            _Keyed(dataset, seed, collate_fn or default_collate),
            batch_sampler=self._order,  # type: ignore[arg-type]  # what it yields goes to _Keyed
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # for the seeds of workers, which are not used
            worker_init_fn=EndsWithTrainer(worker_init_fn),
            **options,
        )
        self._epoch = 0
        self._batch = 0
        self._live: object | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and number of the next batch to deliver; after the last one, of the next epoch."""
        return self._epoch, self._batch

    def state_dict(self) -> dict[str, Any]:
        """The position, and what it is a position of."""
        return {"epoch": self._epoch, "batch": self._batch, **self._order.fixed()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have the next pass begin at a position.

        Raises:
            ValueError: it is that of another stream: another seed, dataset length, batch size, ….
        """
        fixed = self._order.fixed()
        wrong = [f"{n} is {state[n]} there, {fixed[n]} here" for n in fixed if state[n] != fixed[n]]
        if wrong:
            raise ValueError(f"the position is that of another KeyedLoader: {'; '.join(wrong)}")
        self._epoch, self._batch, self._live = state["epoch"], state["batch"], None

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._order)

    def __iter__(self) -> Iterator[Any]:
        """The batches from the position on; the next epoch's, where the last pass was left."""
        if self._live is not None:
            self._leave(self._live)
        self._live = live = object()
        return _Pass(self, live)

    def _read(self, live: object, epoch: int, first: int) -> Generator[Any, None, None]:
        self._order.begin(epoch, first)
        for batch, found in enumerate(self._loader, first + 1):
            if self._live is live:
                last = batch == len(self)
                self._epoch, self._batch = (epoch + 1, 0) if last else (epoch, batch)
            yield found

    def _leave(self, live: object) -> None:
        """What is left of a pass that nobody reads any more is not delivered by the next one."""
        if self._live is live:
            self._live = None
            if self._batch:
                self._epoch, self._batch = self._epoch + 1, 0


class _Pass:
    """The batches of one pass; no generator, which knows nothing of being dropped unread."""

    def __init__(self, loader: KeyedLoader, live: object) -> None:
        self.loader = loader
        self.live = live
        self.batches = loader._read(live, *loader.position)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.batches)

    def close(self) -> None:
        """Read no more; workers end."""
        self.batches.close()
        self.loader._leave(self.live)

    def __del__(self) -> None:
        self.loader._leave(self.live)


class _Request(NamedTuple):
    """What a batch is made of: its key, and the examples in it."""

    epoch: int
    batch: int
    examples: list[int]


class _Order:
    """Which examples make which batch of which epoch; torch's loaders call this a batch sampler."""

    def __init__(
        self, dataset: Any, batch_size: int, shuffle: bool, seed: int, drop_last: bool
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self._begins = 0, 0

    def fixed(self) -> dict[str, Any]:
        """What a position is a position of."""
        return {
            "seed": self.seed,
            "examples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def begin(self, epoch: int, batch: int) -> None:
        """Have the next iterator begin with that batch."""
        self._begins = epoch, batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[_Request]:
        return self._requests(*self._begins)

    def _requests(self, epoch: int, first: int) -> Iterator[_Request]:
        size, count = self.batch_size, len(self.dataset)
        order = self._permutation(epoch, count) if self.shuffle else None
        for batch in range(first, len(self)):
            examples = range(batch * size, min(count, (batch + 1) * size))
            chosen = examples if order is None else order[examples.start : examples.stop].tolist()
            yield _Request(epoch, batch, list(chosen))

    def _permutation(self, epoch: int, count: int) -> torch.Tensor:
        key = int.from_bytes(digest(self.seed, epoch)[:8], "little")
        return torch.randperm(count, generator=torch.Generator("cpu").manual_seed(key))


class _Keyed(Dataset[Any]):
    """A dataset that gives whole batches, and draws for each from generators seeded by its key."""

    def __init__(self, dataset: Any, seed: int, collate: Collate) -> None:
        self.dataset = dataset
        self.seed = seed
        self.collate = collate

    def __getitems__(self, request: _Request) -> Any:
        key = digest(self.seed, request.epoch, request.batch)
        if get_worker_info() is not None:  # the generators here are nobody else's
            seed_host_generators(key)
            return self._batch(request.examples)
        with host_generators_kept():
            seed_host_generators(key)
            return self._batch(request.examples)

    def _batch(self, examples: list[int]) -> Any:
        many = getattr(self.dataset, "__getitems__", None)
        return self.collate(many(examples) if many else [self.dataset[i] for i in examples])


def _as_it_is(batch: Any) -> Any:
    return batch


def _check(dataset: Any, batch_size: Any, seed: Any, options: Mapping[str, Any]) -> None:
    if isinstance(dataset, IterableDataset) or not (
        hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    ):
        raise TypeError(
            f"KeyedLoader({type(dataset).__name__}): expected a dataset with __len__ and "
            "__getitem__; what can only be read in a row has no positions"
        )
    for name, value in (("batch_size", batch_size), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"KeyedLoader({name}={value!r}): allowed: an int")
    if batch_size < 1:
        raise ValueError(f"KeyedLoader(batch_size={batch_size}): allowed: an int, from 1")
    taken = options.keys() & {"sampler", "batch_sampler", "generator"}
    if taken:
        raise TypeError(f"KeyedLoader({min(taken)}=…): order and randomness come from seed=")

"""A loader whose order and randomness depend only on a key, so that its position can be saved."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from ...events.utils.argument_checks import check_whole_number
from ..order.batch_order import BatchOrder
from ..order.sampled_order import SampledOrder
from ..order.sampling import Sampler
from ..order.skipping import Reduced, Skips
from .batch_reader import BatchReader, Collate
from .copied_ahead import copied_ahead
from .in_memory import with_columns
from .loader_arguments import check_arguments, check_samplers, usable_device
from .position_check import MADE_WITH, check_position
from .resident_columns import resident_columns
from .worker_start import WorkerStart


class KeyedLoader:
    """Loads a map-style dataset in batches; resumes at any batch at once.

    The order of an epoch is a function of `(seed, epoch)`. The random numbers that the dataset and
    `collate_fn` draw from the generators of Python, NumPy and torch (CPU) are a function of
    `(seed, epoch, batch)`, so the batches are the same for every number of workers, and after a
    resume. The global generators are left unchanged. Each pass is the next epoch, even if the pass
    before was abandoned.

    Threads. The global generators belong to all threads of the process, so what holds in several
    threads depends on where the random numbers come from:

    - With workers the global generators of this process are not touched.
    - Tensors, arrays, lists, and the datasets of torch that hold them (`TensorDataset`,
      `StackDataset`, `Subset`) draw nothing. With torch's `default_collate` they are read without
      touching the global generators.
    - A dataset with a method `random_getitem(index, generators)` is read through it, and draws from
      `generators.python`, `.numpy` (a `numpy.random.Generator`) and `.torch`, which are functions
      of `(seed, epoch, batch)`. The global generators are neither seeded nor restored: also
      `collate_fn` must not draw from them.
    - Any other dataset is read with the global generators seeded, one batch at a time in the
      process, so that loaders in several threads do not disturb each other. (A dataset that waits
      for another thread that reads such a loader would wait for ever.) Another thread that draws
      from a global generator meanwhile, a dropout layer included, disturbs the batch and is
      disturbed by it. Nothing can prevent this: a `RuntimeWarning` tells once a loader that its
      dataset has drawn from them while other threads (no daemons) run.

    What a dataset may raise, with and without workers:

    - `SkipExample` in `__getitem__` or `random_getitem`: the batch is made without the example; a
      batch without any is skipped. `__getitems__` returns a shorter list instead. A prediction
      then has fewer outputs than there are examples.
    - `CancelBatchException`, also in `collate_fn`: the batch is skipped; no signal is sent for it.
    - The cancel of the training, the validation, the epoch or the fit: closes that.
    - Any other exception ends the fit, with its own type and traceback.

    `skipped` counts; the logger `trackside` gives the numbers at the end of each pass. If the
    dataset has `set_epoch`, it is called in each process before the first batch of an epoch.

    Args:
        dataset: has `__len__` and `__getitem__`; `__getitems__`, if present, loads a whole batch.
            Or a dict of tensors and NumPy arrays of one length: its examples are dicts of rows.
        batch_size: examples in a batch, from 1; the last batch of an epoch may be smaller.
        shuffle: use another random order in each epoch.
        seed: for the order and the random numbers; `fit(seed=…)` sets another one.
        drop_last: drop the last batch if it is smaller.
        collate_fn: makes a batch from a list of examples; None: torch's `default_collate`.
        worker_init_fn: called in each worker with the worker id.
        sampler: chooses the examples of an epoch, in place of `shuffle`: a function of
            `(seed, epoch)` that returns indices, or a sampler of torch, such as
            `WeightedRandomSampler(weights, n)`; what that draws is a function of `(seed, epoch)`.
        batch_sampler: the same for whole batches, lists of indices, such as `SimilarLengths`; in
            place of `batch_size`, `shuffle`, `sampler` and `drop_last`.
        device: where the batches lie. Tensors and arrays in memory are moved there once, if they
            take at most half of its free memory, and indexed there. Any other batch is copied, the
            next one while the step of this one runs, on a stream of its own where the device has
            streams: the dataset is read one batch ahead.
        options: other `DataLoader` arguments: `num_workers`, `pin_memory`, `prefetch_factor`, ….

    Raises:
        TypeError: the dataset has no length or is an `IterableDataset`; an option is unknown, or
            is set by this loader itself.
        ValueError: an argument is out of range; columns have different lengths; there is no such
            device.

    Cost: tensors and arrays in memory: an index operation for each in a batch, on the device where
    they lie. Any other dataset without workers: as much as torch's `DataLoader`, and 5 µs a batch
    for each global generator that it draws from; the first batches show which these are, and the
    one in which it first draws from another one is read twice. Workers send tensors of up to
    512 KiB by value, larger ones in shared memory, which takes half a millisecond for each. A
    shuffled epoch keeps its order in memory, 8 bytes an example. Resuming at batch 1,000,000 costs
    the same as at batch 10: no earlier example is read.
    """

    counts_epochs = True
    """The epoch is part of its position: nobody else tells it."""

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
        sampler: Sampler | None = None,
        batch_sampler: Sampler | None = None,
        device: torch.device | str | None = None,
        **options: Any,
    ) -> None:
        check_arguments(dataset, batch_size, seed, options)
        check_samplers(sampler, batch_sampler, batch_size, shuffle, drop_last)
        self.dataset = dataset
        examples = with_columns(dataset)
        self.batch_size = batch_size if batch_sampler is None else None
        self.drop_last = drop_last
        chooses = sampler if batch_sampler is None else batch_sampler
        self._order = (
            BatchOrder(examples, batch_size, shuffle, seed, drop_last)
            if chooses is None
            else SampledOrder(examples, chooses, self.batch_size, seed, drop_last)
        )
        self._seed = seed
        self._reader = BatchReader(examples, collate_fn)
        self._loader: DataLoader[Any] = DataLoader(
            self._reader,
            batch_sampler=self._order,  # type: ignore[arg-type]  # yields requests for the reader
            collate_fn=_identity,
            generator=torch.Generator(),  # seeds the workers; the reader reseeds
            worker_init_fn=WorkerStart(worker_init_fn),
            **options,
        )
        self.device = usable_device(device)
        self._resident = (
            resident_columns(examples, self.device)
            if self._reads_columns(collate_fn) and self.device is not None
            else None
        )
        self._skips = Skips()
        self._epoch = 0
        self._batch = 0
        self._current_pass: object | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and index of the next batch, 0-based; after the last batch `(epoch + 1, 0)`."""
        return self._epoch, self._batch

    @property
    def skipped(self) -> tuple[int, int]:
        """Examples and batches that the dataset has skipped since the loader was made."""
        return self._skips.examples, self._skips.batches

    def state_dict(self) -> dict[str, Any]:
        """The position, the arguments that it is valid for, and what was skipped before it."""
        position = {"epoch": self._epoch, "batch": self._batch, **self._order.arguments()}
        if self._order.seed != self._seed:
            position[MADE_WITH] = self._seed
        if self._batch and (order := self._order.fingerprint(self._epoch)):
            position["order"] = order
        return {**position, "skipped": list(self.skipped)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Start the next pass at a saved position.

        Raises:
            ValueError: the seed, dataset length, batch size, … differ from the saved ones, or a
                sampler gives other examples for this epoch.
        """
        self.check(state)
        self._order.seed = state["seed"]
        self._epoch, self._batch, self._current_pass = state["epoch"], state["batch"], None
        self._skips = Skips(*state.get("skipped", ()))

    def set_seed(self, seed: int) -> None:
        """Start the next pass at epoch 0 of another seed; `fit(seed=…)` does."""
        check_whole_number(f"KeyedLoader.set_seed({seed!r})", seed)
        self._order.seed = seed
        self._epoch, self._batch, self._current_pass = 0, 0, None

    def check(self, state: Mapping[str, Any]) -> None:
        """Check that `load_state_dict` accepts a saved position; changes nothing.

        Raises:
            ValueError: as `load_state_dict`.
        """
        check_position(self._order, self._seed, state)

    def __len__(self) -> int:
        """Batches in the epoch of the position; only a sampler makes epochs of different length."""
        return self._order.length(self._epoch)

    def length(self, epoch: int) -> int:
        """Batches in an epoch."""
        return self._order.length(epoch)

    def set_rank(self, rank: int, ranks: int) -> None:
        """Read the share of one of several ranks in each batch, from the next pass on.

        A batch then has `batch_size` examples for each rank: two ranks read together what one
        process reads with twice the `batch_size`, in the same order, and a saved position fits
        both. Random numbers differ from rank to rank. If the last batch has fewer examples than
        there are ranks, those without one read its first; `rank_counts` has 0 for them.
        """
        self._order.rank, self._order.ranks = rank, ranks
        if self._current_pass is not None:
            self._abandon_pass(self._current_pass)

    @property
    def share(self) -> tuple[int, int]:
        """The rank whose share is read, and the number of ranks: see `set_rank`."""
        return self._order.rank, self._order.ranks

    def rank_counts(self, batch: int) -> tuple[int, int]:
        """Examples of a batch of the current pass: those of this rank, those of all ranks."""
        return self._order.counts(self._epoch if self._batch else self._epoch - 1, batch)

    def __iter__(self) -> Iterator[Any]:
        """The batches from the position on; of the next epoch, if the last pass was abandoned."""
        if self._current_pass is not None:
            self._abandon_pass(self._current_pass)
        self._current_pass = pass_id = object()
        return _Pass(self, pass_id)

    def _read_batches(self, pass_id: object, epoch: int, first: int) -> Generator[Any, None, None]:
        length, skipped = self.length(epoch), self.skipped
        if not length and self._current_pass is pass_id:
            self._epoch = epoch + 1
        try:
            for batch, loaded in enumerate(self._batches(epoch, first), first + 1):
                if self._current_pass is pass_id:
                    last = batch == length
                    self._epoch, self._batch = (epoch + 1, 0) if last else (epoch, batch)
                if type(loaded) is not Reduced:
                    yield loaded
                elif self._skips.has_batch(loaded, self._order.ranks):
                    yield loaded.batch
        finally:
            self._skips.tell(
                skipped, f"KeyedLoader({type(self.dataset).__name__}), epoch {epoch + 1}"
            )

    def _reads_columns(self, collate_fn: Collate | None) -> bool:
        return collate_fn in (None, default_collate) and not self._loader.num_workers

    def _batches(self, epoch: int, first: int) -> Iterator[Any]:
        if self._resident is not None:
            return self._resident.batches(self._order, epoch, first)
        if self._loader.num_workers or self._loader.pin_memory:
            self._order.start_at(epoch, first)
            batches: Iterator[Any] = iter(self._loader)
        else:
            batches = self._reader.batches(self._order, epoch, first)
        return batches if self.device is None else copied_ahead(batches, self.device)

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


def _identity(batch: Any) -> Any:
    return batch

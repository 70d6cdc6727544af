"""Open a pass over a loader: its samplers are told the epoch, an open pass is left alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, Subset

from ..torch_internals import second_iterator
from .loader_traits import has_position, starts_anew
from .skipping import with_skips


def open_iterator(loader: Iterable[Any], epoch: int | None, in_use: Any = None) -> Iterator[Any]:
    """A new iterator of a loader.

    Args:
        loader: `set_epoch` of its samplers, its dataset or itself is called first.
        epoch: from 0; None: they are not told.
        in_use: the loader of a training pass that is paused, and continues afterwards.

    Raises:
        ValueError: the loader is `in_use`, and has one iterator or one position for all passes.
    """
    if epoch is not None:
        set_epoch(loader, epoch)
    if loader is not in_use:
        return _with_skips(loader, iter(loader))
    if has_position(loader) or starts_anew(loader):
        raise ValueError(
            f"valid_loader is the train_loader, a {type(loader).__name__}, which has one position "
            "for all passes: a validation in the middle of the training would move it. Allowed: a "
            "second loader over the same dataset"
        )
    if isinstance(loader, DataLoader) and type(loader).__iter__ is DataLoader.__iter__:
        return _with_skips(loader, second_iterator(loader))
    return _with_skips(loader, iter(loader))


def _with_skips(loader: Iterable[Any], batches: Iterator[Any]) -> Iterator[Any]:
    """Where an index is read again and again; a stream that raises has ended."""
    if isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset):
        return with_skips(loader, batches)
    return batches


def set_epoch(loader: Any, epoch: int) -> None:
    """Tell the epoch to whatever in a loader has a method `set_epoch`.

    A KeyedLoader counts its own passes, and tells its dataset.
    """
    if getattr(loader, "counts_epochs", False):
        return
    call_set_epoch(_parts(loader), epoch)


def call_set_epoch(parts: Iterable[Any], epoch: int) -> None:
    """Call `set_epoch` of each of `parts` that has it, once."""
    told: set[int] = set()
    for part in parts:
        tell = getattr(part, "set_epoch", None)
        if callable(tell) and id(part) not in told:
            told.add(id(part))
            tell(epoch)


def _parts(loader: Any) -> Iterator[Any]:
    batch_sampler = getattr(loader, "batch_sampler", None)
    yield loader
    yield batch_sampler
    yield getattr(batch_sampler, "sampler", None)
    yield getattr(loader, "sampler", None)
    yield from with_inner(getattr(loader, "dataset", None))


def with_inner(dataset: Any) -> Iterator[Any]:
    """A dataset, and those of which it is a `Subset`."""
    yield dataset
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
        yield dataset

"""Open a pass over a loader: its samplers are told the epoch, an open pass is left alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from ..order.epoch_setting import set_epoch
from ..order.skipping import with_skips
from ..torch_internals import second_iterator
from .loader_traits import has_position, starts_anew


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

"""Tell the samplers and the dataset of a loader which epoch is next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch.utils.data import Subset


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

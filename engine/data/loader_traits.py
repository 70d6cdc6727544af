"""Properties of a loader: readable once or again, with a saved position, or replayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset

from ..randomness.rng_state import generator_states, loader_generators


def is_one_pass(loader: Iterable[Any]) -> bool:
    """Whether a loader can be read only once: it is its own iterator, like a generator.

    An iterator whose class has an `__iter__` that does more than `return self` starts anew there.
    """
    return isinstance(loader, Iterator) and not starts_anew(loader)


def starts_anew(loader: Iterable[Any]) -> bool:
    """Whether a loader is an iterator with an `__iter__` of its own; it is not called."""
    own = getattr(type(loader), "__iter__", None)
    if not (isinstance(loader, Iterator) and isinstance(own, FunctionType)):
        return False
    return own.__code__.co_code != _return_self.__code__.co_code


def _return_self(self: Any) -> Any:
    return self


def has_position(loader: Any) -> bool:
    """Whether a loader saves and restores its position."""
    return position_keeper(loader) is not None


def position_keeper(loader: Any) -> Any | None:
    """What has `state_dict` and `load_state_dict` of a loader's position; None if nothing has.

    The loader, like KeyedLoader and torchdata's; or the stream that a `DataLoader` reads in this
    process, which has given exactly the examples of the batches that were read.
    """
    if _is_saved(loader):
        return loader
    if not (isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset)):
        return None
    reads_here = loader.num_workers == 0 and type(loader).__iter__ is DataLoader.__iter__
    return loader.dataset if reads_here and _is_saved(loader.dataset) else None


def _is_saved(part: Any) -> bool:
    return hasattr(part, "state_dict") and hasattr(part, "load_state_dict")


def is_dataset(loader: Any) -> bool:
    """Whether it has examples by index, no batches: a dataset of torch or of Hugging Face."""
    if isinstance(loader, Dataset):
        return not isinstance(loader, IterableDataset)
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(loader).__mro__}
    return ("datasets", "Dataset") in kinds


def rng_before_pass(loader: Any) -> dict[str, Any] | None:
    """Random number generator states before a pass is opened; None for a loader that needs none.

    Restoring them makes a loader without a position repeat its batches.
    """
    if has_position(loader) or isinstance(loader, (list, tuple)) or is_one_pass(loader):
        return None
    return generator_states(loader_generators(loader))

"""A loader that gives the first batch of another one again and again."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

from ...events import TrainState
from ...events.utils.loader_length import loader_length
from ..data.loader_traits import is_one_pass, position_keeper
from ..data.pass_opening import open_iterator
from ..data.validation_loaders import argument_name, by_name
from ..fit_state.run_generators import preserve_run_generators

_SAME = ("batch_size", "dataset", "drop_last", "sampler", "batch_sampler")


class StandInLoader:
    """As long as `loader`; each batch is the first one of it.

    It has the attributes of a DataLoader that describe its data.
    """

    def __init__(self, loader: Any, batch: Any, length: int | None) -> None:
        self._batch = batch
        self._length = length
        vars(self).update({name: getattr(loader, name) for name in _SAME if hasattr(loader, name)})

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("the loader does not tell its length")
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return repeat(self._batch) if self._length is None else repeat(self._batch, self._length)


def stand_in_loaders(
    state: TrainState, train_loader: Any, valid_loader: Any, batches_per_epoch: int | None
) -> tuple[Any, Any]:
    """Stand-ins for both loaders; several validation loaders keep their names.

    Raises:
        ValueError: a loader can be read only once, or does not tell its length.
        Exception: raised by a loader when its first batch is read.
    """
    train = None
    if train_loader is not None:
        train = _stand_in(state, "train_loader", train_loader, batches_per_epoch)
    valid = {
        name: _stand_in(state, argument_name(valid_loader, name), loader, None)
        for name, loader in by_name(valid_loader).items()
    }
    several = hasattr(valid_loader, "items")
    return train, valid if several else next(iter(valid.values()), None)


def _stand_in(state: TrainState, name: str, loader: Any, limit: int | None) -> StandInLoader:
    if is_one_pass(loader):
        raise ValueError(
            f"cannot rehearse with {name}, a {type(loader).__name__}: an iterator can be read "
            "once, and the first batch would be missing in the fit; pass something that can be "
            "iterated again"
        )
    length = loader_length(loader)
    if length is None and limit is None:
        raise ValueError(
            f"cannot rehearse with {name}, a {type(loader).__name__} that does not tell its "
            "length; pass batches_per_epoch=, or a loader with a length"
        )
    return StandInLoader(loader, _first_batch(state, loader), length)


def _first_batch(state: TrainState, loader: Iterable[Any]) -> Any:
    """The first batch; the position of the loader and all generators stay as they are."""
    keeper = position_keeper(loader)
    position = None if keeper is None else copy.deepcopy(keeper.state_dict())
    with preserve_run_generators(state, loader):
        try:
            return next(iter(open_iterator(loader, None, None)), ())
        finally:
            if keeper is not None:
                keeper.load_state_dict(position)

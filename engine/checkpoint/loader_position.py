"""How far loaders have been read, and how the rest of a pass is got at again."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader

from ...events import TrainState
from ..data.loader_traits import has_position, is_one_pass
from ..data.rng_state import of_loader, set_generators
from .plain_data import plain


def loader_states(state: TrainState) -> dict[str, Any]:
    """The positions of both loaders, of the open pass, and of a training that has paused."""
    paused, loader = state.paused, state.train_loader if state.training else state.valid_loader
    # one that has ended, or was cancelled, is left with the next activity; a loader that always
    # knows its position has to be told
    told = state.phase.endswith(".fetch") or _always_tells(loader)
    is_open = told and state.batches is not None and not (paused and state.training)
    live = state.batches if is_open else None
    training = paused[0] if paused is not None else live if state.training else None
    validation = None if state.training else live
    return {
        "train": _position_of(state.train_loader, "train_loader", training),
        "valid": _position_of(state.valid_loader, "valid_loader", validation),
        "tells": {"train": tells(state.train_loader), "valid": tells(state.valid_loader)},
        "open": is_open,
        "begun": state.pass_begun if is_open else None,
        "paused": None if paused is None else list(paused[1:]),
    }


def tells(loader: Any) -> bool | None:
    """Whether a loader tells its position; None if there is no loader."""
    return None if loader is None else has_position(loader)


def _always_tells(loader: Any) -> bool:
    """Not torchdata's: outside of a pass it opens one, and draws for it, to tell where it is."""
    return has_position(loader) and not isinstance(loader, DataLoader)


def _position_of(loader: Any, name: str, batches: Any) -> Any:
    """The loader's own, but for that of a batch that was read ahead, or was not read yet."""
    if not has_position(loader) or (batches is None and not _always_tells(loader)):
        return None
    before = getattr(batches, "loader_state", None)
    return plain(before or loader.state_dict(), f"{name}.state_dict()")


def reopen(state: TrainState, saved: dict[str, Any]) -> None:
    """Have the loaders go on where they were; the counters of `state` say where that is."""
    for loader, position in (
        (state.train_loader, saved["train"]),
        (state.valid_loader, saved["valid"]),
    ):
        if position is not None:
            loader.load_state_dict(position)  # type: ignore[union-attr]
    if saved["paused"] is not None:
        index, count, then = saved["paused"]
        rest = _rest_of_training(state, index, count, then)
        state.paused = _Rest(rest, saved["train"]), index, count, then
    if not saved["open"]:
        return
    state.pass_begun = saved["begun"]
    index, count = state.batch_index, state.n_batches
    if state.training:
        rest = _rest_of_training(state, index, count, saved["begun"])
        state.batches = _Rest(rest, saved["train"])
    else:
        rest = _rest(state.valid_loader, "valid_loader", index + 1, saved["begun"])
        rest = _up_to(rest, index, count, state.batches_per_validation)
        state.batches = _Rest(rest, saved["valid"])


class _Rest:
    """The rest of a pass.

    Attributes:
        loader_state: where its loader stands, as long as nothing has been read; some loaders learn
            of it only then.
    """

    def __init__(self, batches: Iterator[Any], loader_state: Any) -> None:
        self._batches = batches
        self.loader_state = loader_state

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.loader_state = None
        return next(self._batches)


def _rest_of_training(
    state: TrainState, index: int, count: int | None, then: dict[str, Any] | None
) -> Iterator[Any]:
    limit, loader = state.batches_per_epoch, state.train_loader
    assert loader is not None
    read = index + 1
    if is_one_pass(loader) and limit is not None:  # it goes on from epoch to epoch
        read += state.epoch * limit
    return _up_to(_rest(loader, "train_loader", read, then), index, count, limit)


def _up_to(rest: Iterator[Any], index: int, count: int | None, limit: int | None) -> Iterator[Any]:
    if count is not None and index + 1 >= count:
        return islice(rest, 0)
    return rest if limit is None else islice(rest, limit - index - 1)


def _rest(loader: Any, name: str, read: int, then: dict[str, Any] | None) -> Iterator[Any]:
    """What follows the first `read` batches of a pass that began when generators stood at `then`.

    Generators are left anywhere: they are set when all is open.
    """
    if has_position(loader):
        return iter(loader)
    if isinstance(loader, (list, tuple)):
        return islice(loader, read, None)
    _warn_of_replay(loader, name, read)
    if then is not None:
        set_generators(then, of_loader(loader))
    batches: Iterator[Any] = iter(loader)
    deque(islice(batches, read), maxlen=0)
    return batches


def _warn_of_replay(loader: Any, name: str, read: int) -> None:
    warnings.warn(
        f"{name} ({type(loader).__name__}) cannot tell its position, so its first {read} batches "
        "are read again and dropped. Exact: the order, and what a dataset draws, as far as both "
        "come from the generators of Python, NumPy and torch, or from one of the loader, its "
        "samplers or its dataset. Not exact: what else a dataset or a sampler remembers from "
        "batch to batch, and data that is not the same any more. KeyedLoader reads nothing again",
        stacklevel=2,
    )

"""Save the positions of loaders, and reopen an interrupted pass at its next batch."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader

from ...events import TrainState
from ..data.loader_traits import has_position, is_one_pass
from ..data.rng_state import loader_generators, restore_generators
from .plain_data import to_plain_data


def loader_states(state: TrainState) -> dict[str, Any]:
    """The positions of both loaders, of the open pass, and of a paused training pass."""
    paused, loader = state.paused, state.train_loader if state.training else state.valid_loader
    # outside of `fetch` a pass has ended or was cancelled, and the next activity closes it; a
    # loader whose position is always known must still restore it
    is_position_known = state.phase.endswith(".fetch") or _is_position_always_known(loader)
    is_open = is_position_known and state.batches is not None and not (paused and state.training)
    open_pass = state.batches if is_open else None
    training = paused[0] if paused is not None else open_pass if state.training else None
    validation = None if state.training else open_pass
    return {
        "train": _loader_state(state.train_loader, "train_loader", training),
        "valid": _loader_state(state.valid_loader, "valid_loader", validation),
        "tells": {
            "train": has_position_or_none(state.train_loader),
            "valid": has_position_or_none(state.valid_loader),
        },
        "open": is_open,
        "begun": state.pass_begun if is_open else None,
        "paused": None if paused is None else list(paused[1:]),
    }


def has_position_or_none(loader: Any) -> bool | None:
    """Whether a loader can save its position; None without a loader."""
    return None if loader is None else has_position(loader)


def _is_position_always_known(loader: Any) -> bool:
    """False for torchdata's, whose `state_dict` opens a pass and draws random numbers."""
    return has_position(loader) and not isinstance(loader, DataLoader)


def _loader_state(loader: Any, name: str, batches: Any) -> Any:
    """The loader's own state, or that before a batch that was read ahead or is not read yet."""
    if not has_position(loader) or (batches is None and not _is_position_always_known(loader)):
        return None
    before = getattr(batches, "loader_state", None)
    return to_plain_data(before or loader.state_dict(), f"{name}.state_dict()")


def restore_loaders(state: TrainState, saved: dict[str, Any]) -> None:
    """Restore the loaders and reopen passes at the batch that the counters of `state` give."""
    for loader, position in (
        (state.train_loader, saved["train"]),
        (state.valid_loader, saved["valid"]),
    ):
        if position is not None:
            loader.load_state_dict(position)  # type: ignore[union-attr]
    if saved["paused"] is not None:
        index, count, rng_states = saved["paused"]
        remaining = _remaining_training(state, index, count, rng_states)
        state.paused = _RemainingBatches(remaining, saved["train"]), index, count, rng_states
    if not saved["open"]:
        return
    state.pass_begun = saved["begun"]
    index, count = state.batch_index, state.n_batches
    if state.training:
        remaining = _remaining_training(state, index, count, saved["begun"])
        state.batches = _RemainingBatches(remaining, saved["train"])
    else:
        remaining = _remaining(state.valid_loader, "valid_loader", index + 1, saved["begun"])
        remaining = _limited(remaining, index, count, state.batches_per_validation)
        state.batches = _RemainingBatches(remaining, saved["valid"])


class _RemainingBatches:
    """The remaining batches of a pass.

    Attributes:
        loader_state: the position of the loader until the first batch is read; some loaders apply
            a restored position only when they are read.
    """

    def __init__(self, batches: Iterator[Any], loader_state: Any) -> None:
        self._batches = batches
        self.loader_state = loader_state

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.loader_state = None
        return next(self._batches)


def _remaining_training(
    state: TrainState, index: int, count: int | None, rng_states: dict[str, Any] | None
) -> Iterator[Any]:
    limit, loader = state.batches_per_epoch, state.train_loader
    assert loader is not None
    n_read = index + 1
    if is_one_pass(loader) and limit is not None:  # one iterator serves all epochs
        n_read += state.epoch * limit
    return _limited(_remaining(loader, "train_loader", n_read, rng_states), index, count, limit)


def _limited(
    remaining: Iterator[Any], index: int, count: int | None, limit: int | None
) -> Iterator[Any]:
    if count is not None and index + 1 >= count:
        return islice(remaining, 0)
    return remaining if limit is None else islice(remaining, limit - index - 1)


def _remaining(
    loader: Any, name: str, n_read: int, rng_states: dict[str, Any] | None
) -> Iterator[Any]:
    """The batches after the first `n_read` of a pass that was opened with `rng_states`.

    This moves the random number generators; they are restored after all passes are open.
    """
    if has_position(loader):
        return iter(loader)
    if isinstance(loader, (list, tuple)):
        return islice(loader, n_read, None)
    _warn_of_replay(loader, name, n_read)
    if rng_states is not None:
        restore_generators(rng_states, loader_generators(loader))
    batches: Iterator[Any] = iter(loader)
    deque(islice(batches, n_read), maxlen=0)
    return batches


def _warn_of_replay(loader: Any, name: str, n_read: int) -> None:
    warnings.warn(
        f"{name} ({type(loader).__name__}) cannot save its position, so its first {n_read} batches "
        "are read again and dropped. Exact: the order and the dataset's random numbers, if both "
        "come from the generators of Python, NumPy and torch, or from one of the loader, its "
        "samplers or its dataset. Not exact: other state that a dataset or a sampler keeps from "
        "batch to batch, and data that has changed. KeyedLoader reads nothing again",
        stacklevel=2,
    )

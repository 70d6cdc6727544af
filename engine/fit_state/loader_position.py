"""Save the positions of loaders, and reopen an interrupted pass at its next batch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from operator import length_hint
from typing import Any

from torch.utils.data import DataLoader

from ...events import Cancel, TrainState
from ..data.keyed_loader import KeyedLoader
from ..data.loader_traits import has_position, is_one_pass, position_keeper
from ..data.pass_opening import open_iterator
from ..data.validation_loaders import argument_name, by_name, current_loader, described
from ..order.epoch_setting import set_epoch
from ..order.leaving_out import LeavingOut, leaving_out
from ..randomness.rng_state import loader_generators, restore_generators
from .plain_data import to_plain_data

_BUILT_IN_ITERATORS: tuple[type[Any], ...] = (type(iter(())), type(iter([])))


def loader_states(state: TrainState) -> dict[str, Any]:
    """The positions of both loaders, of the open pass, and of a paused training pass."""
    valid_loader = current_loader(state)
    paused, loader = state.paused, state.train_loader if state.training else valid_loader
    # outside of `fetch` a pass has ended or was cancelled, and the next activity closes it; a
    # loader whose position is always known must still restore it
    is_position_known = state.phase.endswith(".fetch") or is_position_always_known(loader)
    is_open = is_position_known and state.batches is not None and not (paused and state.training)
    open_pass = state.batches if is_open else None
    training = paused[0] if paused is not None else open_pass if state.training else None
    validation = None if state.training else open_pass
    return {
        "train": _loader_state(state.train_loader, "train_loader", training),
        "valid": _loader_state(valid_loader, described(state), validation),
        "other": {
            name: _loader_state(other, argument_name(state.valid_loader, name), None)
            for name, other in _other_loaders(state).items()
        },
        "tells": {
            "train": has_position_or_none(state.train_loader),
            "valid": has_position_or_none(valid_loader),
        },
        "open": is_open,
        "ended": {"train": _is_cut_short(training), "valid": _is_cut_short(validation)},
        "ahead": _is_read_ahead(training) and not has_position(state.train_loader),
        "begun": state.pass_begun if is_open else None,
        "paused": None if paused is None else list(paused[1:]),
    }


def _other_loaders(state: TrainState) -> dict[str, Any]:
    """The loaders of validations that do not run now, where they have names."""
    loaders = by_name(state.valid_loader)
    return {name: other for name, other in loaders.items() if other is not current_loader(state)}


def _is_cut_short(batches: Any) -> bool:
    """Whether a pass ends without another request to its loader.

    A handler may have put an empty iterator in place of the rest of the pass.
    """
    own = batches
    while isinstance(own, (_RemainingBatches, LeavingOut)):
        own = own.batches
    return isinstance(own, _BUILT_IN_ITERATORS) and length_hint(own) == 0


def _is_read_ahead(batches: Any) -> bool:
    """Whether the next batch, or the end, has been read already, by a LookaheadIterator."""
    return bool(getattr(batches, "has_read_ahead", False))


def has_position_or_none(loader: Any) -> bool | None:
    """Whether a loader can save its position; None without a loader."""
    return None if loader is None else has_position(loader)


def is_position_always_known(loader: Any) -> bool:
    """False for torchdata's, whose `state_dict` opens a pass and draws random numbers."""
    keeper = position_keeper(loader)
    packages = {kind.__module__.partition(".")[0] for kind in type(keeper).__mro__}
    reads_to_tell = isinstance(keeper, DataLoader) or "torchdata" in packages
    return keeper is not None and not reads_to_tell


def _loader_state(loader: Any, name: str, batches: Any) -> Any:
    """The loader's own state, or that before a batch that was read ahead or is not read yet."""
    if not has_position(loader) or (batches is None and not is_position_always_known(loader)):
        return None
    before = getattr(batches, "loader_state", None)
    position = before or position_keeper(loader).state_dict()  # type: ignore[union-attr]
    return to_plain_data(position, f"{name}.state_dict()")


def restore_loaders(state: TrainState, saved: dict[str, Any]) -> None:
    """Restore the loaders and reopen passes at the batch that the counters of `state` give."""
    for loader, position in (
        (state.train_loader, saved["train"]),
        (current_loader(state), saved["valid"]),
        *((other, saved["other"].get(name)) for name, other in _other_loaders(state).items()),
    ):
        if position is not None:
            set_epoch(loader, state.epoch)  # before the position, which this may reset
            position_keeper(loader).load_state_dict(position)  # type: ignore[union-attr]
    if saved["paused"] is not None:
        index, count, rng_states = saved["paused"]
        remaining = _remaining_training(state, saved, index, count, rng_states)
        state.paused = remaining, index, count, rng_states
    if not saved["open"]:
        return
    state.pass_begun = saved["begun"]
    index, count = state.batch_index, state.n_batches
    if state.training:
        state.batches = _remaining_training(state, saved, index, count, saved["begun"])
    else:
        state.batches = _remaining_validation(state, saved, index, count, saved["begun"])


class _RemainingBatches:
    """The remaining batches of a pass.

    Attributes:
        batches: yields them.
        loader_state: the position of the loader until the first batch is read; some loaders apply
            a restored position only when they are read.
        has_read_ahead: whether the first one has been read, as it was when the fit was saved.
    """

    def __init__(self, batches: Iterator[Any], loader_state: Any, read_ahead: bool = False) -> None:
        self.batches = _read_first(batches) if read_ahead else batches
        self.loader_state = loader_state
        self.has_read_ahead = read_ahead

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.loader_state, self.has_read_ahead = None, False
        return next(self.batches)


def _read_first(batches: Iterator[Any]) -> Iterator[Any]:
    """Read the first batch; its error or cancel is raised where the batch would be yielded."""
    try:
        first = [*islice(batches, 1)]
    except (Exception, Cancel) as raised:
        return chain(_raise_later(raised), batches)
    return chain(first, batches)


def _raise_later(raised: BaseException) -> Iterator[Any]:
    raise raised
    yield


def _remaining_training(
    state: TrainState,
    saved: dict[str, Any],
    index: int,
    count: int | None,
    rng_states: dict[str, Any] | None,
) -> Iterator[Any]:
    limit, loader = state.batches_per_epoch, state.train_loader
    assert loader is not None
    n_read = index + 1
    if limit is not None and is_one_pass(loader):  # one iterator serves all epochs
        n_read += state.epoch * limit
    if _is_over(loader, saved, "train", index, count):
        nothing = _nothing(loader, saved, "train")
        return leaving_out(state, _RemainingBatches(nothing, saved["train"]))
    remaining = _remaining(loader, "train_loader", n_read, rng_states, state.epoch)
    ahead = saved.get("ahead", False)
    limited = _limited(remaining, index, limit)
    return leaving_out(state, _RemainingBatches(limited, saved["train"], ahead))


def _remaining_validation(
    state: TrainState,
    saved: dict[str, Any],
    index: int,
    count: int | None,
    rng_states: dict[str, Any] | None,
) -> _RemainingBatches:
    limit, loader = state.batches_per_validation, current_loader(state)
    if _is_over(loader, saved, "valid", index, count):
        return _RemainingBatches(_nothing(loader, saved, "valid"), saved["valid"])
    in_use = state.train_loader if state.paused else None
    remaining = _remaining(loader, described(state), index + 1, rng_states, state.epoch, in_use)
    return _RemainingBatches(_limited(remaining, index, limit), saved["valid"])


def _is_over(loader: Any, saved: dict[str, Any], name: str, index: int, count: int | None) -> bool:
    """Whether a pass ends without another request to its loader.

    A loader with a position would begin its next pass; `KeyedLoader` tells that it stands before
    one, also where its dataset has skipped batches. Any other one is asked for its end, as it
    was in the saved fit: a sampler may draw random numbers there, as torch's does.
    """
    is_complete = count is not None and index + 1 >= count
    if isinstance(loader, KeyedLoader) and index >= 0:
        return is_complete or loader.position[1] == 0
    if "ended" not in saved or has_position(loader):
        return is_complete
    return bool(saved["ended"][name])


def _nothing(loader: Any, saved: dict[str, Any], name: str) -> Iterator[Any]:
    """The end of a pass: it stays open until it is dropped, unless a handler has cut it short."""
    if saved.get("ended", {}).get(name) or not has_position(loader):
        return iter(())
    return islice(iter(loader), 0)


def _limited(remaining: Iterator[Any], index: int, limit: int | None) -> Iterator[Any]:
    return remaining if limit is None else islice(remaining, max(0, limit - index - 1))


def _remaining(
    loader: Any,
    name: str,
    n_read: int,
    rng_states: dict[str, Any] | None,
    epoch: int,
    in_use: Any = None,
) -> Iterator[Any]:
    """The batches after the first `n_read` of a pass that was opened with `rng_states`.

    This moves the random number generators; they are restored after all passes are open.
    """
    if has_position(loader):  # and has been told the epoch
        with _without_restart(loader):
            return open_iterator(loader, None, in_use)
    if not isinstance(loader, (list, tuple)):
        _warn_of_replay(loader, name, n_read)
    if rng_states is not None:
        restore_generators(rng_states, loader_generators(loader))
    batches = open_iterator(loader, epoch, in_use)
    found = sum(1 for _ in islice(batches, n_read))
    if found < n_read:
        raise ValueError(
            f"cannot resume with {name} ({type(loader).__name__}): it has {found} batches, and the "
            f"saved fit had read {n_read}"
        )
    return batches


@contextmanager
def _without_restart(loader: Any) -> Iterator[None]:
    """A restored loader of `torchdata.nodes` whose pass was over would begin the next one."""
    restarts = getattr(loader, "restart_on_stop_iteration", None)
    if restarts:
        loader.restart_on_stop_iteration = False
    try:
        yield
    finally:
        if restarts:
            loader.restart_on_stop_iteration = restarts


def _warn_of_replay(loader: Any, name: str, n_read: int) -> None:
    warnings.warn(
        f"{name} ({type(loader).__name__}) cannot save its position, so its first {n_read} batches "
        "are read again and dropped. Exact: the order and the dataset's random numbers, if both "
        "come from the generators of Python, NumPy and torch, or from one of the loader, its "
        "samplers or its dataset. Not exact: other state that a dataset or a sampler keeps from "
        "batch to batch, and data that has changed. Nothing is read again by KeyedLoader, by a "
        "stream with state_dict and load_state_dict, by StatefulDataLoader of torchdata",
        stacklevel=2,
    )

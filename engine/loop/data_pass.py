"""Opening the loader of a pass, and saying what is wrong with it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ...events import TrainState
from ..data.rng_state import generator_states, of_loader


def length(loader: Any) -> int | None:
    """Batches that a loader says it has; None if it does not know."""
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None


def is_one_pass(loader: Iterable[Any]) -> bool:
    """Whether a loader is its own iterator, like a generator: it can be read once."""
    return iter(loader) is loader if isinstance(loader, Iterator) else False


def has_position(loader: Any) -> bool:
    """Whether a loader tells, and takes, its position, as KeyedLoader and torchdata's do."""
    return hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")


def begun(loader: Any) -> dict[str, Any] | None:
    """Where generators stand before a pass is opened; None for a loader that needs none.

    With it a loader that cannot tell its position gives the same batches once more.
    """
    if has_position(loader) or isinstance(loader, (list, tuple)) or is_one_pass(loader):
        return None
    return generator_states(of_loader(loader))


def open_pass(state: TrainState, loader: Iterable[Any], limit: int | None = None) -> Iterator[Any]:
    """Start reading `loader`, at most `limit` batches; `n_batches` is what is expected of it."""
    known = length(loader)
    state.pass_begun = begun(loader)
    state.n_batches = known if limit is None or (known is not None and known < limit) else limit
    batches = iter(loader)
    state.batches = batches if limit is None else islice(batches, limit)
    return state.batches


def warn_if_empty(state: TrainState, name: str, loader: Any) -> None:
    """Called at the end of a pass: a loader that gave nothing is most likely a mistake."""
    if state.batch_index >= 0:
        return
    why = "it is an iterator, and exhausted" if is_one_pass(loader) else _why_empty(loader)
    warnings.warn(
        f"{name} ({type(loader).__name__}) gave no batch in epoch {state.epoch}: {why}",
        stacklevel=2,
    )


def _why_empty(loader: Any) -> str:
    if getattr(loader, "drop_last", False):
        return "it drops the last incomplete batch (drop_last) and has no complete one"
    return "it is empty"

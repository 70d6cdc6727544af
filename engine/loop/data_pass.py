"""Opening the loader of a pass, and saying what is wrong with it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ...events import TrainState
from ...events.loader_length import loader_length
from ..data.loader_traits import is_one_pass, rng_before_pass


def open_pass(state: TrainState, loader: Iterable[Any], limit: int | None = None) -> Iterator[Any]:
    """Start reading `loader`, at most `limit` batches; `n_batches` is what is expected of it."""
    known = loader_length(loader)
    state.pass_begun = rng_before_pass(loader)
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

"""Training passes whose loader has more or fewer batches than it tells."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from ...events import TrainState
from ...events.progress import planned_batches, told_batches
from ..batches.batch import open_pass
from ..data.loader_traits import is_one_pass
from ..order.leaving_out import leaving_out


def open_training_pass(state: TrainState, loader: Iterable[Any]) -> Iterator[Any]:
    """Start reading `loader`; `n_batches` is the real number, if an earlier pass has shown it."""
    batches = leaving_out(state, open_pass(state, loader, state.batches_per_epoch))
    state.batches = batches
    if state.n_batches is not None:
        state.n_batches = planned_batches(state)
    return batches


def record_length(state: TrainState) -> None:
    """At the end of a whole training pass, keep the number of its batches if it was unexpected.

    A handler that ends a pass early sets `n_batches`; the rest of an iterator is no whole pass.
    """
    found, loader = state.batch_index + 1, state.train_loader
    if not found or found == state.n_batches or loader is None or is_one_pass(loader):
        return
    told = told_batches(state)
    if told is not None and state.batches_found is None:
        _warn_of_length(state, told, found)
    state.batches_found = told, found


def _warn_of_length(state: TrainState, told: int, found: int) -> None:
    expected = f"tells {told}" if told != found else f"was planned with {state.n_batches}"
    warnings.warn(
        f"train_loader ({type(state.train_loader).__name__}) {expected} batches, and gave {found} "
        f"in epoch {state.epoch + 1}; schedules are planned with {found} from now on",
        stacklevel=2,
    )

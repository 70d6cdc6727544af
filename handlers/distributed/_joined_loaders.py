"""Loaders of different lengths: a rank whose own has ended goes on until those of all have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ...events import TrainState
from .._ranks import sum_over_ranks

Activity = Callable[[TrainState], str]
Counts = tuple[int, int]


class Ended(NamedTuple):
    """The end of this rank's loader in the open pass."""

    batches: Any
    trigger: str


class JoinedLoaders:
    """Fetches the batches of a rank, and repeats its last one, with no example, after their end.

    In that way every rank makes all forward and backward passes, in which they wait for each other,
    whatever the strategy; a repeated batch has weight 0 in the gradient and in the metrics.

    Cost: a vote and a collective a batch, no device sync
    """

    def __init__(self) -> None:
        self._last: dict[bool, tuple[Any, Any, Any]] = {}  # by `training`, which may pause
        self._ended: list[Ended] = []  # a training that is paused, and its validation

    def fetch(self, fetch: Activity, state: TrainState) -> tuple[str, Counts | None]:
        """The trigger after the fetch; of a batch the examples of this rank, and those of all.

        Raises:
            RuntimeError: this rank has no batch that could be repeated.
        """
        ended = self._end_of(state)
        trigger, failed = "", 1
        try:
            trigger = ended.trigger if ended else fetch(state)
            failed = 0
        finally:  # the other ranks wait for it
            is_over = not trigger.startswith("begin_")
            own = 0 if is_over else state.batch_size
            over, examples, failures = _exchange(int(is_over), own, failed)
        if over == state.world_size or failures or state.job == "predict":
            return trigger, None
        if is_over:
            self._repeat(state, trigger)
            trigger = f"begin_{state.unit_scope}"
        else:
            self._last[state.training] = state.batch, state.xb, state.yb
        return trigger, (own, examples)

    def _end_of(self, state: TrainState) -> Ended | None:
        """The end of the open pass; a pause for a validation comes after a fetch."""
        if state.batches is None and state.paused is None:
            self._ended.clear()
        if state.validate_next and state.training:
            return None
        return next((one for one in self._ended if one.batches is state.batches), None)

    def _repeat(self, state: TrainState, trigger: str) -> None:
        """Make the last batch of this rank in this pass the live one, with no example."""
        if state.training not in self._last or state.batch_index < 0:
            raise RuntimeError(
                f"Distributed(uneven='join'): the loader of rank {state.rank} has no batch in this "
                "pass, so there is none to repeat while the others go on"
            )
        if self._end_of(state) is None:
            self._ended.append(Ended(state.batches, trigger))
        state.batch_index += 1
        state.batch, state.xb, state.yb = self._last[state.training]
        state.pred = state.loss = state.weight = None
        state.batch_size = 0


def _exchange(*numbers: int) -> tuple[int, ...]:
    return tuple(sum_over_ranks(torch.tensor(numbers), "the examples of a batch").tolist())

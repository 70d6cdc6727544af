"""The same data in the same order, whatever the handlers draw."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from ...engine.fit_state.seeding import seed_generators
from ...engine.randomness.rng_state import generator_states, preserve_generators, restore_generators
from ...events import TrainState

Activity = Callable[[TrainState], str]


class SameDataOrder:
    """Fetches batches with random numbers of their own, which no handler and no model draws from.

    Those of a pass depend on the seed, the epoch and the loader only, so that fits with other
    handlers shuffle and augment alike, also after a pass that ended early.

    Signals: wraps fetch
    Reads: batches, epoch, training, evaluation
    Cost: no sync; the states of the global generators are saved and restored for each batch, some
        0.1 ms

    Args:
        seed: of the fit.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._states: dict[str, dict[str, Any]] = {}

    def wrap_fetch(self, fetch: Activity) -> Activity:
        def fetch_apart(state: TrainState) -> str:
            source = "train" if state.training else f"valid {state.evaluation}"
            with preserve_generators([]):
                if state.batches is None:
                    seed_generators(_derived(f"{self.seed} {state.epoch} {source}"))
                else:
                    restore_generators(self._states[source], [])
                try:
                    return fetch(state)
                finally:
                    self._states[source] = generator_states([])

        return fetch_apart


def _derived(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest(), "little")

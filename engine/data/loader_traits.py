"""Properties of a loader: readable once or again, with a saved position, or replayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .rng_state import generator_states, loader_generators


def is_one_pass(loader: Iterable[Any]) -> bool:
    """Whether a loader can be read only once: it is its own iterator, like a generator."""
    return iter(loader) is loader if isinstance(loader, Iterator) else False


def has_position(loader: Any) -> bool:
    """Whether a loader saves and restores its position, like KeyedLoader and torchdata's."""
    return hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")


def rng_before_pass(loader: Any) -> dict[str, Any] | None:
    """Random number generator states before a pass is opened; None for a loader that needs none.

    Restoring them makes a loader without a position repeat its batches.
    """
    if has_position(loader) or isinstance(loader, (list, tuple)) or is_one_pass(loader):
        return None
    return generator_states(loader_generators(loader))

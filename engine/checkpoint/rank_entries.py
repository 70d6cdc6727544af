"""What a rank resumes of the state of a fit of several ranks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ...events import TrainState
from .manifest import CheckpointError

_OWN = {"handlers", "loaders", "generators"}


def entries_of_rank(saved: Mapping[str, Any], state: TrainState) -> Mapping[str, Any]:
    """The state dict as this rank has saved it.

    Another number of ranks resumes with what rank 0 had of its own, and a warning: the random
    number generators of the others, and what their handlers kept, are lost.

    Raises:
        CheckpointError: the entries of the ranks are not what a fit has saved.
    """
    ranks = saved.get("ranks")
    if ranks is None:
        return saved
    if not (isinstance(ranks, list) and ranks and all(map(_is_entry, ranks))):
        raise CheckpointError("the entries of the ranks in the state dict are not those of a fit")
    rest = {name: value for name, value in saved.items() if name != "ranks"}
    if len(ranks) != state.world_size:
        warnings.warn(
            f"a fit of {len(ranks)} processes is resumed by {state.world_size}: each has the "
            "random number generators, and what handlers keep, of rank 0; with as many as before "
            "it is exact",
            stacklevel=2,
        )
        return rest
    own = ranks[state.rank]
    return {**rest, **own, "handlers": {**rest["handlers"], **own["handlers"]}}


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.keys() == _OWN and isinstance(entry["handlers"], dict)

"""The options of `Distributed` for every strategy, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Collection

_LEAST_TIMEOUT = 5.0


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Check that an option is one of the texts that are allowed. Raises: ValueError."""
    if value not in allowed:
        raise ValueError(f"Distributed({name}={value!r}): allowed: {', '.join(map(repr, allowed))}")


def check_timeout(timeout: float) -> None:
    """Check the seconds that a rank waits for another one. Raises: ValueError."""
    if not _LEAST_TIMEOUT <= timeout < math.inf:
        raise ValueError(
            f"Distributed(timeout={timeout!r}): allowed: seconds, from {_LEAST_TIMEOUT:g}; a rank "
            "may be slower than another by a garbage collection or a checkpoint"
        )

"""Suggest the name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def did_you_mean(name: str, known: Collection[str], cutoff: float = 0.75) -> str:
    """Return `; did you mean after_epoch?`, or an empty text if no known name is similar."""
    similar = difflib.get_close_matches(str(name), known, n=1, cutoff=cutoff)
    return f"; did you mean {similar[0]}?" if similar else ""

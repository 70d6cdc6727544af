"""The number of batches of a loader, if it is known."""

from __future__ import annotations

from typing import Any


def loader_length(loader: Any) -> int | None:
    """`len(loader)`; None for a loader without a length."""
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None

"""Values in nested mappings, by joined names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat_names(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values by joined names, `git.commit`; without those that are None or empty."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat_names(value, f"{prefix}{name}.")
        elif value not in (None, [], ""):
            is_list = isinstance(value, list)
            found[f"{prefix}{name}"] = " ".join(map(str, value)) if is_list else value
    return found

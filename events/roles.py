"""What the scopes of a chart are for: their roles, and those of the scopes of a standard fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Role = Literal["run", "round", "pass", "unit", "update", "evaluation"]
ROLES: tuple[Role, ...] = get_args(Role)

STANDARD_ROLES: Mapping[str, Role] = {
    "fit": "run",
    "epoch": "round",
    "train": "pass",
    "validate": "evaluation",
    "batch": "unit",
}
"""The roles of the scopes of the supervised chart, by name."""

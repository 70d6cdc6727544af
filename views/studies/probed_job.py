"""The handlers of the trainer that a factory makes, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ProbedJob:
    """The handlers of a trainer, by name: `EMA`, a second one `EMA-2`; as plain data."""

    handlers: list[str]
    classes: dict[str, list[str]]
    """The class of each handler and its bases, by which others require it."""
    requires: dict[str, list[str]]
    """The classes that each handler declares in `requires`."""
    kept: dict[str, str]
    """Those that a study does not remove, and why."""

    def as_data(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)

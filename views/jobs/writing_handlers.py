"""Which handlers only write, and are left out where a fit is made again."""

from __future__ import annotations

from typing import Any

from ...handlers import Checkpoint, Preemption


def writes_only(handler: Any) -> bool:
    """Whether a handler only logs or saves; a second fit would write to the files of the first."""
    logs = getattr(handler, "on_error", "raise") == "detach"
    return logs or isinstance(handler, (Checkpoint, Preemption))

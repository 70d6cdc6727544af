"""The other handlers of a trainer, as its processes need them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...events import AttachError, TrainerProtocol


def refuse_single(handlers: Iterable[Any]) -> None:
    """Refuse handlers that would let the ranks do different things.

    Raises:
        AttachError: names the first.
    """
    for handler in handlers:
        if why := getattr(handler, "single_process", None):
            raise AttachError(f"{type(handler).__name__} works in one process only: {why}")


def reattach_main_only(trainer: TrainerProtocol) -> None:
    """Attach handlers with `main_only` again, now that it is known whether this is the main one."""
    for handler in trainer.handlers:
        if getattr(handler, "main_only", False):
            trainer.detach(handler)
            trainer.attach(handler)

"""Moving a batch to a device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from functools import lru_cache
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor

from ...events.utils.exception_text import add_note
from ...events.utils.nested import map_nested


class Movable(ABC):
    """Whatever has a method `to`: a packed sequence, a graph batch, an encoding of texts."""

    @abstractmethod
    def to(self, device: torch.device) -> Any:
        """Return this on `device`."""

    @classmethod
    def __subclasshook__(cls, kind: type) -> bool:
        return callable(getattr(kind, "to", None))


def to_device(value: Any, device: torch.device) -> Any:
    """Move `value` and its parts to `device`, without waiting for the copy.

    Tensors in containers (see `map_nested`) are moved one by one; whatever else has a method
    `to(device)` is moved by it, `non_blocking` where it takes that.

    Raises:
        Exception: raised by such a method; a note names the type.
    """

    def move(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part.to(device, non_blocking=True)
        return _move_by_itself(part, device)

    return map_nested(move, value, only=(Tensor, Movable))


def _move_by_itself(part: Any, device: torch.device) -> Any:
    kind = type(part)
    options = {"non_blocking": True} if takes_non_blocking(kind) else {}  # type: ignore[arg-type]
    try:
        moved = part.to(device, **options)
    except Exception as error:
        add_note(error, f"trackside moves a {kind.__name__} to {device} by its method `to`")
        raise
    return part if moved is None else moved  # some move themselves, and return nothing


@lru_cache(maxsize=64)
def takes_non_blocking(kind: Hashable) -> bool:
    """Whether the method `to` of a class takes `non_blocking`; False if nothing is known."""
    try:
        parameters = signature(kind.to).parameters  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return False
    return "non_blocking" in parameters or any(
        parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()
    )

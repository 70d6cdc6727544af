"""One option of one parameter group."""

from __future__ import annotations

from typing import Any

import torch

Group = dict[str, Any]


def copied(value: Any) -> Any:
    """`value` as it is now: of a tensor, which may be written to, a copy."""
    return value.clone() if isinstance(value, torch.Tensor) else value


def put(group: Group, option: str, value: Any) -> None:
    """Set an option; a tensor stays the tensor that it is: a captured graph may hold it."""
    if isinstance(group[option], torch.Tensor):
        group[option].fill_(value)
    else:
        group[option] = value

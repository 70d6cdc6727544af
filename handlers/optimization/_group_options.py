"""Reading and writing one option of a parameter group."""

from __future__ import annotations

from typing import Any

import torch

ParamGroup = dict[str, Any]


def copy_option(value: Any) -> Any:
    """Return a copy if `value` is a tensor, which may be written to; else `value` itself."""
    return value.clone() if isinstance(value, torch.Tensor) else value


def set_option(group: ParamGroup, option: str, value: Any) -> None:
    """Set an option; a tensor is filled in place, because a captured graph may hold it."""
    if isinstance(group[option], torch.Tensor):
        group[option].fill_(value)
    else:
        group[option] = value

"""The tensors of a state dict, as they go to a file: on the CPU, and no larger than they look."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...events.nested import map_nested


def snapshot(state: dict[str, Any], copy: bool = False) -> dict[str, Any]:
    """`state` with all its tensors on the CPU. Two that show the same elements become one.

    Args:
        copy: copy them all, so that training may go on; else only those that need it: on another
            device, or a part of something larger, of which a file would get the whole.
    """
    known: dict[Any, Tensor] = {}

    def on_cpu(tensor: Tensor) -> Tensor:
        key = same_elements(tensor)
        if key not in known:
            known[key] = tensor.to("cpu", copy=copy or _is_part(tensor))
        return known[key]

    taken: dict[str, Any] = map_nested(on_cpu, state, only=Tensor)
    return taken


def same_elements(tensor: Tensor) -> Any:
    """A key that is equal for two living tensors that show the same elements in the same way."""
    if tensor.layout is not torch.strided or not tensor.numel():
        return id(tensor)
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _is_part(tensor: Tensor) -> bool:
    if tensor.layout is not torch.strided:
        return False
    return tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size()

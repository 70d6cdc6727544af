"""CPU copies of the tensors of a state dict, without unused storage."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...events.utils.nested import map_nested


def snapshot_tensors(state: dict[str, Any], copy: bool = False) -> dict[str, Any]:
    """`state` with all tensors on the CPU. Tensors with the same elements become one object.

    Args:
        copy: copy all tensors, so that training can continue; else only those on another device,
            and views of a larger storage, which would be saved completely.
    """
    copies: dict[Any, Tensor] = {}
    on_host = torch.device("cpu")

    def on_cpu(tensor: Tensor) -> Tensor:
        key = elements_key(tensor)
        if (done := copies.get(key)) is None:
            if copy and tensor.device == on_host:
                done = tensor.clone()
            else:
                done = tensor.to(on_host, copy=_has_unused_storage(tensor))
            copies[key] = done
        return done

    snapshot: dict[str, Any] = map_nested(on_cpu, state, only=Tensor)
    return snapshot


def elements_key(tensor: Tensor) -> Any:
    """A key that is equal for two live tensors with the same memory, shape, strides and dtype."""
    if tensor.layout is not torch.strided or not tensor.numel():
        return id(tensor)
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _has_unused_storage(tensor: Tensor) -> bool:
    if tensor.layout is not torch.strided:
        return False
    return tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size()

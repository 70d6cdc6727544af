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
    copies: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def on_cpu(tensor: Tensor) -> Tensor:
        copied = copies.setdefault(_place(tensor), [])
        for original, done in copied:
            if elements_key(original) == elements_key(tensor):
                return done
        if copy and tensor.is_cpu:
            new = tensor.clone()
        else:
            new = tensor.to("cpu", copy=_has_unused_storage(tensor))
        copied.append((tensor, new))
        return new

    snapshot: dict[str, Any] = map_nested(on_cpu, state, only=Tensor)
    return snapshot


def elements_key(tensor: Tensor) -> Any:
    """A key that is equal for two live tensors with the same memory, shape, strides and dtype."""
    place = _place(tensor)
    if place == id(tensor):
        return place
    return place, tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _place(tensor: Tensor) -> int:
    """Where the elements begin; the `id` of a tensor that has none in one place."""
    is_strided = tensor.layout is torch.strided
    return (tensor.data_ptr() if is_strided else 0) or id(tensor)


def _has_unused_storage(tensor: Tensor) -> bool:
    if tensor.layout is not torch.strided:
        return False
    return tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size()

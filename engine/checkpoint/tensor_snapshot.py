"""CPU copies of the tensors of a state dict, without unused storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...events.utils.nested import map_nested
from ..torch_internals import copy_all

_LEAST_KEPT_BYTES = 1 << 17
"""From this size on the memory of a tensor comes from the system, and goes back to it."""

_Memory = dict[tuple[torch.dtype, torch.Size, tuple[int, ...]], list[Tensor]]
"""Tensors by dtype, shape and strides."""


def snapshot_tensors(state: dict[str, Any]) -> dict[str, Any]:
    """`state` with all tensors on the CPU. Tensors with the same elements become one object.

    Only those on another device are copied, and views of a larger storage, which would be saved
    completely.
    """
    return _snapshot(state, _on_cpu)


class TensorCopies:
    """Copies of state dicts, which training does not change, each in the memory of the last one.

    New memory of some size costs more than to copy into it: the system clears its pages first.
    """

    def __init__(self) -> None:
        self._memory: _Memory = {}

    def copied(self, state: dict[str, Any]) -> dict[str, Any]:
        """As `snapshot_tensors`, with copies of all tensors; the last copy is overwritten."""
        old, self._memory = self._memory, {}
        targets, sources = [], []

        def copy(tensor: Tensor) -> Tensor:
            if not tensor.is_cpu:
                return _on_cpu(tensor)
            if tensor.layout is not torch.strided or tensor.nbytes < _LEAST_KEPT_BYTES:
                return tensor.clone()
            layout = tensor.dtype, tensor.shape, tensor.stride()
            if unused := old.get(layout):
                targets.append(new := unused.pop())
                sources.append(tensor)
            else:
                new = tensor.clone()
            self._memory.setdefault(layout, []).append(new)
            return new

        snapshot = _snapshot(state, copy)
        copy_all(targets, sources)
        return snapshot

    def drop(self) -> None:
        """Give the memory back."""
        self._memory = {}


def _snapshot(state: dict[str, Any], copy: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """`state` with `copy(tensor)` for each tensor; once for those with the same elements."""
    copies: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def copy_once(tensor: Tensor) -> Tensor:
        place = _place(tensor)
        if place not in copies:
            copies[place] = [(tensor, new := copy(tensor))]
            return new
        for original, done in copies[place]:
            if elements_key(original) == elements_key(tensor):
                return done
        copies[place].append((tensor, new := copy(tensor)))
        return new

    snapshot: dict[str, Any] = map_nested(copy_once, state, only=Tensor)
    return snapshot


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.to("cpu", copy=_has_unused_storage(tensor))


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

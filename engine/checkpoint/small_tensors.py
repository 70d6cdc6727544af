"""Small tensors as a few large ones: `torch.save` takes as long for a tensor as for 50 kB."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .safetensors_writer import is_supported

_MOST_BYTES = 1 << 16
_MOST_BYTES_TOGETHER = 1 << 23

Small = list[tuple[Tensor, list[tuple[int, ...]], list[tuple[tuple[Any, ...], int]]]]
"""For each dtype: all elements; the shape of each tensor; the keys of each place, and whose."""


def without_small(state: dict[str, Any]) -> tuple[dict[str, Any], Small]:
    """`state` with None for each small tensor in its dicts, and those tensors."""
    taken: dict[torch.dtype, _Taken] = {}
    rest = _without_small(state, (), taken)
    return rest, [(torch.cat(t.elements), t.shapes, t.places) for t in taken.values()]


def put_back(state: dict[str, Any], small: Small) -> None:
    """Put small tensors back to their places, each as a tensor of its own.

    Raises:
        Exception: `small` is not what `without_small` has returned.
    """
    for elements, shapes, places in small:
        parts = torch.split(elements, [math.prod(shape) for shape in shapes])
        tensors = [part.view(shape).clone() for part, shape in zip(parts, shapes, strict=True)]
        for (*keys, last), number in places:
            container = state
            for key in keys:
                container = container[key]
            if container[last] is not None:
                raise ValueError("a small tensor would replace something else")
            container[last] = tensors[number]


class _Taken:
    def __init__(self) -> None:
        self.elements: list[Tensor] = []
        self.shapes: list[tuple[int, ...]] = []
        self.places: list[tuple[tuple[Any, ...], int]] = []
        self._bytes = 0
        self._numbers: dict[int, int] = {}

    def take(self, tensor: Tensor, place: tuple[Any, ...]) -> bool:
        """Take a tensor, unless it would be too many."""
        number = self._numbers.get(id(tensor))
        if number is None:
            self._bytes += tensor.numel() * tensor.element_size()
            if self._bytes > _MOST_BYTES_TOGETHER:
                return False
            number = self._numbers[id(tensor)] = len(self.shapes)
            self.elements.append(tensor.view(-1))
            self.shapes.append(tuple(tensor.shape))
        self.places.append((place, number))
        return True


def _without_small(
    value: dict[Any, Any], place: tuple[Any, ...], taken: dict[torch.dtype, _Taken]
) -> dict[Any, Any]:
    rest: dict[Any, Any] = {}
    for key, part in value.items():
        if type(part) is dict:
            rest[key] = _without_small(part, (*place, key), taken)
        elif isinstance(part, Tensor) and _is_small(part):
            known = taken.get(part.dtype) or taken.setdefault(part.dtype, _Taken())
            rest[key] = None if known.take(part, (*place, key)) else part
        else:
            rest[key] = part
    return rest


def _is_small(tensor: Tensor) -> bool:
    """Whether it is one of many; its elements are one after the other."""
    size = tensor.numel() * tensor.element_size()
    return 0 < size <= _MOST_BYTES and is_supported(tensor) and tensor.is_contiguous()

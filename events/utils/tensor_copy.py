"""Copying between tensors of the same shape, also those that share or omit elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def copy_values(target: Tensor, source: Tensor) -> None:
    """Copy the values of `source` into `target`, in place.

    `Tensor.copy_` refuses a tensor that `expand` has made, in which several elements are one place
    in memory. Here each place is written once.
    """
    for dimension in expanded_dimensions(target):
        target, source = target.narrow(dimension, 0, 1), source.narrow(dimension, 0, 1)
    target.copy_(source)


def expanded_dimensions(tensor: Tensor) -> list[int]:
    """The dimensions along which all elements are the same place in memory."""
    if is_sparse(tensor):
        return []
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return [n for n, (size, step) in enumerate(sizes) if size > 1 and not step]


def is_sparse(tensor: Tensor) -> bool:
    """Whether the tensor has no strides, because only some of its elements are in memory."""
    return tensor.is_sparse or "sparse" in str(tensor.layout)

"""Splitting a batch into parts, and joining their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...events.utils.nested import map_nested


def split_batch(value: Any, examples: int, size: int) -> list[Any]:
    """Split `value` into parts of `size` examples; the last part may be smaller.

    Every tensor whose first dimension is `examples` is split; everything else is in each part.
    """

    def part(start: int) -> Any:
        stop = start + size
        return map_nested(
            lambda t: t[start:stop] if has_examples(t, examples) else t, value, only=torch.Tensor
        )

    return [part(start) for start in range(0, examples, size)]


def join_parts(parts: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Join the outputs for parts of a batch, of `sizes` examples, into one output.

    Scalars, such as a loss, become the mean over all examples; values that are not tensors become
    a list.

    Raises:
        ValueError: the first dimension of a tensor is not the examples.
    """

    def join(*leaves: Any) -> Any:
        if isinstance(leaves[0], torch.Tensor):
            return _join_tensors(leaves, sizes)
        return None if leaves[0] is None else list(leaves)

    return map_nested(join, *parts)


def has_examples(tensor: torch.Tensor, examples: int) -> bool:
    """Whether the first dimension has length `examples`."""
    return tensor.dim() > 0 and tensor.size(0) == examples


def _join_tensors(parts: Sequence[torch.Tensor], sizes: Sequence[int]) -> torch.Tensor:
    if all(part.dim() == 0 for part in parts):
        total = sum(sizes)
        return torch.stack([p * (n / total) for p, n in zip(parts, sizes, strict=True)]).sum()
    if not all(has_examples(part, size) for part, size in zip(parts, sizes, strict=True)):
        shapes = ", ".join(str(tuple(part.shape)) for part in parts)
        raise ValueError(
            f"cannot join outputs of shapes {shapes} for parts of {', '.join(map(str, sizes))} "
            "examples; expected scalars, or tensors whose first dimension is the examples"
        )
    return torch.cat(list(parts))

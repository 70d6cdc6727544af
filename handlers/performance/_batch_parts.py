"""A batch split into smaller ones, and their outputs joined again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...events.nested import map_nested


def split(value: Any, examples: int, size: int) -> list[Any]:
    """`value` in parts of `size` examples, the last may be smaller.

    Split is every tensor whose first dimension is `examples`; each part has all the others.
    """

    def part(start: int) -> Any:
        stop = start + size
        return map_nested(
            lambda t: t[start:stop] if has_examples(t, examples) else t, value, only=torch.Tensor
        )

    return [part(start) for start in range(0, examples, size)]


def joined(parts: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Outputs for parts of a batch, of `sizes` examples, as one output for all of it.

    Of scalars, such as a loss, it is the mean over all examples; of what is no tensor, the list.

    Raises:
        ValueError: a tensor's first dimension is not the examples.
    """

    def join(*leaves: Any) -> Any:
        if isinstance(leaves[0], torch.Tensor):
            return _joined_tensors(leaves, sizes)
        return None if leaves[0] is None else list(leaves)

    return map_nested(join, *parts)


def has_examples(tensor: torch.Tensor, examples: int) -> bool:
    """Whether its first dimension is the examples."""
    return tensor.dim() > 0 and tensor.size(0) == examples


def _joined_tensors(parts: Sequence[torch.Tensor], sizes: Sequence[int]) -> torch.Tensor:
    if all(part.dim() == 0 for part in parts):
        whole = sum(sizes)
        return torch.stack([p * (n / whole) for p, n in zip(parts, sizes, strict=True)]).sum()
    if not all(has_examples(part, size) for part, size in zip(parts, sizes, strict=True)):
        shapes = ", ".join(str(tuple(part.shape)) for part in parts)
        raise ValueError(
            f"cannot join outputs of shapes {shapes} for parts of {', '.join(map(str, sizes))} "
            "examples; expected scalars, or tensors whose first dimension is the examples"
        )
    return torch.cat(list(parts))

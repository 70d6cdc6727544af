"""Splitting a batch into parts, and joining their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from numbers import Number
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from ...events.utils.nested import are_ragged, children, leaves, map_nested, with_children

_UNSPLIT = (Number, str, bytes, type(None), torch.Tensor)
"""What may be the same in every part."""


def is_splittable(value: Any, examples: int) -> bool:
    """Whether parts of `value` can be told: it has examples, and nothing that could hide more."""
    pieces = [*_pieces(value, examples)]
    return all(
        isinstance(piece, _UNSPLIT) or is_list_of_examples(piece, examples) for piece in pieces
    ) and any(
        has_examples(piece, examples) or is_list_of_examples(piece, examples) for piece in pieces
    )


def split_batch(value: Any, examples: int, size: int) -> list[Any]:
    """Split `value` into parts of `size` examples; the last part may be smaller.

    Every tensor whose first dimension is `examples`, and every list with an entry for each of them,
    is split; everything else is in each part.
    """

    def part(start: int) -> Any:
        def cut(leaf: Any) -> Any:
            if has_examples(leaf, examples) or is_list_of_examples(leaf, examples):
                return leaf[start : start + size]
            return [split(entry) for entry in leaf] if isinstance(leaf, list) else leaf

        def split(part: Any) -> Any:
            return map_nested(cut, part, only=(torch.Tensor, list))

        return split(value)

    return [part(start) for start in range(0, examples, size)]


def join_parts(parts: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Join the outputs for parts of a batch, of `sizes` examples, into one output.

    Lists with an entry for each example become one. Scalars, such as a loss, become the mean over
    all examples; other values become a list, also where only some parts have a tensor.

    Raises:
        ValueError: the first dimension of a tensor is not the examples, or parts of the batch have
            outputs of different structure.
    """
    if all(is_list_of_examples(part, size) for part, size in zip(parts, sizes, strict=True)):
        return [*chain.from_iterable(parts)]
    if all(isinstance(part, torch.Tensor) for part in parts):
        return _join_tensors(parts, sizes)
    inner = [children(part) for part in parts]
    lengths = {None if each is None else len(each) for each in inner}
    if lengths == {None}:
        return None if all(part is None for part in parts) else list(parts)
    if len(lengths) > 1:
        raise ValueError(
            f"cannot join outputs of different structure, {type(parts[0]).__name__}, for parts of "
            f"{', '.join(map(str, sizes))} examples"
        )
    columns = zip(*inner, strict=True)
    return with_children(parts[0], [join_parts(column, sizes) for column in columns])


def has_examples(value: Any, examples: int) -> bool:
    """Whether `value` is a tensor whose first dimension has length `examples`."""
    return isinstance(value, torch.Tensor) and value.dim() > 0 and value.size(0) == examples


def is_list_of_examples(value: Any, examples: int) -> bool:
    """Whether `value` is a list with an entry for each example, not a list of whole inputs."""
    if not isinstance(value, list) or len(value) != examples:
        return False
    tensors = [*leaves(value, torch.Tensor)]
    whole = tensors and all(has_examples(tensor, examples) for tensor in tensors)
    return not whole or are_ragged(tensors)


def _pieces(value: Any, examples: int) -> Iterator[Any]:
    """The leaves of `value`; a list of examples and a packed sequence are one each."""
    whole = isinstance(value, PackedSequence) or is_list_of_examples(value, examples)
    parts = None if whole else children(value)
    if parts is None:
        yield value
    else:
        for part in parts:
            yield from _pieces(part, examples)


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

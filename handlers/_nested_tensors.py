"""Batches and predictions made of parts: tensors inside tuples, lists and mappings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

SEQUENCES = (tuple, list)


def mapped(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """`value` with `change` made to every tensor in it; the rest, and the structure, as it is."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return _like(value, {key: mapped(part, change) for key, part in value.items()})
    if isinstance(value, SEQUENCES):
        return _in_a_row(value, (mapped(part, change) for part in value))
    return value


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in `value`."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors(list(value.values()))
    elif isinstance(value, SEQUENCES):
        for part in value:
            yield from tensors(part)


def split(value: Any, examples: int, size: int) -> list[Any]:
    """`value` in parts of `size` examples, the last may be smaller.

    Split is every tensor whose first dimension is `examples`; each part has all the others.
    """

    def part(start: int) -> Any:
        stop = start + size
        return mapped(value, lambda t: t[start:stop] if has_examples(t, examples) else t)

    return [part(start) for start in range(0, examples, size)]


def joined(parts: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Outputs for parts of a batch, of `sizes` examples, as one output for all of it.

    Of scalars, such as a loss, it is the mean over all examples; of what is no tensor, the list.

    Raises:
        ValueError: a tensor's first dimension is not the examples.
    """
    first = parts[0]
    if isinstance(first, torch.Tensor):
        return _joined_tensors(parts, sizes)
    if isinstance(first, Mapping):
        return _like(first, {key: joined([part[key] for part in parts], sizes) for key in first})
    if isinstance(first, SEQUENCES):
        columns = zip(*parts, strict=True)
        return _in_a_row(first, (joined(column, sizes) for column in columns))
    return None if first is None else list(parts)


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


def _in_a_row(original: Any, parts: Iterable[Any]) -> Any:
    """A list, tuple or named tuple of the kind of `original`."""
    kind = type(original)
    return kind(*parts) if hasattr(original, "_fields") else kind(parts)


def _like(original: Mapping[Any, Any], changed: dict[Any, Any]) -> Any:
    """Mappings of other kinds (the output of a model, say) keep their kind where they can."""
    if type(original) is dict:
        return changed
    try:
        return type(original)(changed)  # type: ignore[call-arg]
    except TypeError:
        return changed

"""Map a function over nested containers: batches, targets and predictions may have parts.

Containers are tuples, lists, named tuples, mappings and dataclasses. The new one has the type of
the old one: a named tuple and a dataclass keep their fields, without a call of `__init__`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any

SEQUENCES = (tuple, list)

_ATOMS = {str, int, float, bytes, bool, type(None)}

Kinds = type | tuple[type, ...]


def map_nested(change: Callable[..., Any], value: Any, *others: Any, only: Kinds = object) -> Any:
    """Replace every leaf of `value` by `change(leaf)`, in containers like those of `value`.

    A mapping or sequence becomes a dict, tuple or list if its type cannot be called with one.

    Args:
        change: returns the new leaf; with `others`, it is called `change(leaf, *their_leaves)`.
        others: values of the same structure as `value`.
        only: what is replaced, even if it is a container; other leaves are kept as they are, in
            containers also every `str`, `bytes`, number and None.
    """
    if only is not object and not others:
        return _map_only(change, value, only)
    if only is not object and isinstance(value, only):
        return change(value, *others)
    if isinstance(value, SEQUENCES):
        columns = zip(value, *others, strict=True)
        return _sequence_like(value, [map_nested(change, *column, only=only) for column in columns])
    if isinstance(value, Mapping):
        parts = {
            key: map_nested(change, part, *(other[key] for other in others), only=only)
            for key, part in value.items()
        }
        return parts if type(value) is dict else _mapping_like(value, parts)
    if is_dataclass_instance(value):
        columns = zip(*(_fields(each).values() for each in (value, *others)), strict=True)
        return _dataclass_like(
            value, [map_nested(change, *column, only=only) for column in columns]
        )
    return change(value, *others) if only is object else value


def _map_only(change: Callable[..., Any], value: Any, only: Kinds) -> Any:
    """`map_nested` of one value, for speed: a checkpoint has hundreds."""
    if isinstance(value, only):
        return change(value)
    if type(value) is dict:
        return {
            key: part if type(part) in _ATOMS else _map_only(change, part, only)
            for key, part in value.items()
        }
    if isinstance(value, SEQUENCES) and _ATOMS.issuperset(map(type, value)):
        return value  # a generator state may be a tuple of hundreds of numbers
    parts = children(value)
    if parts is None:
        return value
    return with_children(value, [_map_only(change, part, only) for part in parts])


def leaves(value: Any, only: Kinds = object) -> Iterator[Any]:
    """Yield the leaves of `value` that are instances of `only`, in order; see `map_nested`."""
    if only is not object and isinstance(value, only):
        yield value
        return
    parts = children(value)
    if parts is not None:
        for part in parts:
            yield from leaves(part, only)
    elif only is object:
        yield value


def children(value: Any) -> list[Any] | None:
    """The direct parts of a container, in order; None if `value` is a leaf."""
    if isinstance(value, SEQUENCES):
        return list(value)
    if isinstance(value, Mapping):
        return list(value.values())
    return list(_fields(value).values()) if is_dataclass_instance(value) else None


def with_children(container: Any, parts: list[Any]) -> Any:
    """A container like `container`, with other direct parts, in the order of `children`."""
    if isinstance(container, SEQUENCES):
        return _sequence_like(container, parts)
    if not isinstance(container, Mapping):
        return _dataclass_like(container, parts)
    named = dict(zip(container, parts, strict=True))
    return named if type(container) is dict else _mapping_like(container, named)


def are_ragged(tensors: Sequence[Any]) -> bool:
    """Whether tensors of the same three or more dimensions differ in shape, as images may."""
    shapes = {tensor.shape for tensor in tensors}
    dimensions = {len(shape) for shape in shapes}
    return len(shapes) > 1 and len(dimensions) == 1 and min(dimensions) > 2


def is_named_tuple(value: Any) -> bool:
    """Whether `value` is a tuple whose parts have names."""
    return isinstance(value, tuple) and hasattr(value, "_fields")


def is_dataclass_instance(value: Any) -> bool:
    """Whether `value` is an instance of a dataclass, and not the class itself."""
    return is_dataclass(type(value))


def _fields(value: Any) -> dict[str, Any]:
    names = [field.name for field in fields(value)]
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _sequence_like(original: Any, parts: list[Any]) -> Any:
    kind = type(original)
    if kind is list:
        return parts
    if hasattr(original, "_fields"):
        return kind._make(parts)
    try:
        return kind(parts)
    except TypeError:
        return tuple(parts) if isinstance(original, tuple) else parts


def _mapping_like(original: Mapping[Any, Any], parts: dict[Any, Any]) -> Any:
    try:
        return type(original)(parts)  # type: ignore[call-arg]
    except TypeError:
        return parts


def _dataclass_like(original: Any, parts: list[Any]) -> Any:
    changed = copy(original)
    for name, part in zip(_fields(original), parts, strict=True):
        object.__setattr__(changed, name, part)  # a frozen one refuses a plain assignment
    return changed

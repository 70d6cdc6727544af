"""Map a function over nested containers: batches, targets and predictions may have parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

SEQUENCES = (tuple, list)

_ATOMS = {str, int, float, bytes, bool, type(None)}


def map_nested(change: Callable[..., Any], value: Any, *others: Any, only: type = object) -> Any:
    """Replace every leaf of `value` by `change(leaf)`, in containers like those of `value`.

    Containers are tuples, named tuples, lists and mappings; a mapping becomes a dict if its type
    cannot be called with a dict. Everything else is a leaf.

    Args:
        change: returns the new leaf; with `others`, it is called `change(leaf, *their_leaves)`.
        others: values of the same structure as `value`.
        only: leaves of other types are kept as they are.
    """
    if isinstance(value, Mapping):
        parts = {
            key: map_nested(change, part, *(other[key] for other in others), only=only)
            for key, part in value.items()
        }
        return parts if type(value) is dict else _mapping_like(value, parts)
    if isinstance(value, SEQUENCES):
        if only is not object and _ATOMS.issuperset(map(type, value)):
            return value  # for speed: a generator state is a tuple of hundreds of numbers
        columns = zip(value, *others, strict=True)
        return _sequence_like(value, (map_nested(change, *column, only=only) for column in columns))
    return change(value, *others) if isinstance(value, only) else value


def leaves(value: Any, only: type = object) -> Iterator[Any]:
    """Yield the leaves of `value` that are instances of `only`, in order; see `map_nested`."""
    if isinstance(value, Mapping):
        for part in value.values():
            yield from leaves(part, only)
    elif isinstance(value, SEQUENCES):
        for part in value:
            yield from leaves(part, only)
    elif isinstance(value, only):
        yield value


def _sequence_like(original: Any, parts: Iterable[Any]) -> Any:
    kind = type(original)
    return kind(*parts) if hasattr(original, "_fields") else kind(parts)


def _mapping_like(original: Mapping[Any, Any], parts: dict[Any, Any]) -> Any:
    try:
        return type(original)(parts)  # type: ignore[call-arg]
    except TypeError:
        return parts

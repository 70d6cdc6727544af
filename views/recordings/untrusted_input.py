"""What a file says, believed only as far as it has the types that were declared."""

from __future__ import annotations

import functools
from typing import Any, get_type_hints

_LONGEST = 500
_CHECKED = (str, int, bool)


def fits(entry: Any, fields: list[Any]) -> bool:
    """Whether the fields have the types that a NamedTuple declares; of texts, numbers and flags."""
    declared = _declared(entry)
    return len(fields) == len(declared) and all(
        is_a(kind, value) for value, kind in zip(fields, declared, strict=True) if kind in _CHECKED
    )


@functools.cache
def _declared(entry: Any) -> tuple[Any, ...]:
    return tuple(get_type_hints(entry).values())


def is_a(kind: type, value: Any) -> bool:
    """Whether a value is of a type, and a number one that a word holds."""
    return type(value) is kind and (type(value) is not int or -(2**63) <= value < 2**63)


def clean(value: Any) -> Any:
    """Text as one line of printable characters: it may be shown on a terminal, or to a browser."""
    if not isinstance(value, str):
        return value
    line = " ".join(value[:_LONGEST].split())
    return line if line.isprintable() else "".join(c if c.isprintable() else "�" for c in line)

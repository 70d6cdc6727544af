"""Check the types of what a file contains, and make its texts safe to show."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, get_type_hints

_MAX_CHARACTERS = 500
_CHECKED_TYPES = (str, int, bool)


def has_field_types(entry: Any, values: list[Any]) -> bool:
    """Check that the values have the types which a NamedTuple declares: str, int and bool."""
    declared = _field_types(entry)
    return len(values) == len(declared) and all(
        has_type(kind, value)
        for value, kind in zip(values, declared, strict=True)
        if kind in _CHECKED_TYPES
    )


@functools.cache
def _field_types(entry: Any) -> tuple[Any, ...]:
    return tuple(get_type_hints(entry).values())


def has_type(kind: type, value: Any) -> bool:
    """Check that a value is exactly of a type; an int must fit into 64 bits, signed."""
    return type(value) is kind and (type(value) is not int or -(2**63) <= value < 2**63)


def printable_line(value: Any) -> Any:
    """Make text one line of printable characters: a terminal or a browser may show it.

    Other values are returned unchanged.
    """
    if not isinstance(value, str):
        return value
    line = " ".join(value[:_MAX_CHARACTERS].split())
    return line if line.isprintable() else "".join(c if c.isprintable() else "�" for c in line)


def printable_lines(text: str) -> str:
    """Make text some lines of printable characters: a browser may show it."""
    return "\n".join(map(printable_line, text[:_MAX_CHARACTERS].split("\n")))


def printable_names(values: Mapping[str, Any], depth: int = 3) -> dict[str, Any]:
    """Nested mappings and lists of JSON with printable texts; what lies deeper is left out."""
    return {printable_line(name): _printable_value(value, depth) for name, value in values.items()}


def _printable_value(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        return printable_names(value, depth - 1) if depth else {}
    if isinstance(value, list):
        return [printable_line(part) for part in value if not isinstance(part, (dict, list))]
    return printable_line(value)

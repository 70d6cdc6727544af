"""Gives scopes of a chart other names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .phase_paths import Row, sources


def rename(rows: Sequence[Row], names: Mapping[str, str]) -> tuple[Row, ...]:
    """The rows with other names for scopes, in paths and in the triggers that name a scope."""
    triggers = {
        f"{moment}_{old}": f"{moment}_{new}"
        for old, new in names.items()
        for moment in ("begin", "after", "after_cancel")
    }
    renamed: list[Row] = []
    for row in rows:
        moved = tuple(_renamed(source, names) for source in sources(row))
        source = moved[0] if isinstance(row[1], str) else moved
        renamed.append((triggers.get(row[0], row[0]), source, _renamed(row[2], names)))
    return tuple(renamed)


def _renamed(phase: str, names: Mapping[str, str]) -> str:
    return ".".join(names.get(part, part) for part in phase.split("."))

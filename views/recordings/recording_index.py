"""The recordings at some paths."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .recording import Recording
from .records import RecordingError
from .run_health import status

PATTERN = "*.loop"


class Shelf:
    """The recordings among files and, with all that they hold, folders; they come and go.

    Args:
        paths: those of recordings, or folders of files whose names end in `.loop`.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [path.resolve() for path in paths]

    def path(self, name: str) -> Path:
        """Where the recording is that `entries` calls `name`.

        Raises:
            KeyError: there is none.
        """
        return {_name(path): path for path in self._found()}[name]

    def entries(self) -> list[dict[str, Any]]:
        """Each recording that can be read, the newest run first."""
        readable = [entry for path in self._found() if (entry := _entry(path)) is not None]
        return sorted(readable, key=lambda entry: (-entry["wall_ns"], entry["rank"]))

    def _found(self) -> Iterator[Path]:
        for path in self._paths:
            yield from sorted(path.rglob(PATTERN)) if path.is_dir() else [path]


def _name(path: Path) -> str:
    """No path: that is nothing for a page to know."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]


def _entry(path: Path) -> dict[str, Any] | None:
    try:
        with Recording(path) as recording:
            seen = status(recording)
            return {
                "id": _name(path),
                "name": recording.meta.name,
                "rank": recording.meta.rank,
                "world": recording.meta.world,
                "wall_ns": recording.meta.wall_ns,
                "status": "stuck" if seen.stuck else seen.condition,
                "phase": seen.phase,
                **seen.counters._asdict(),
            }
    except RecordingError:
        return None

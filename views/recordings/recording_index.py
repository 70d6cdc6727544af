"""The recordings at some paths."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .rank_summary import add_ranks
from .recording import Recording
from .recording_files import recording_files
from .records import RecordingError
from .run_health import status


class RecordingIndex:
    """Lists the recordings at some paths; each call reads the folders again.

    Args:
        paths: of recordings, or of folders, which are searched for `*.loop` with their subfolders;
            see `recording_files`.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [path.resolve() for path in paths]

    def path(self, identity: str) -> Path:
        """The path of the recording with this `id` in `entries`.

        Raises:
            KeyError: no recording has this id.
        """
        return {_identity(path): path for path in self._recording_paths()}[identity]

    def entries(self) -> list[dict[str, Any]]:
        """One entry for each readable recording, the newest run first.

        Those of one run of several ranks have the same `run`; one of them has its `ranks`.
        """
        entries = {p: e for p in self._recording_paths() if (e := _entry(p)) is not None}
        add_ranks({path: entry for path, entry in entries.items() if entry["world"] > 1})
        return sorted(entries.values(), key=lambda entry: (-entry["wall_ns"], entry["rank"]))

    def _recording_paths(self) -> Iterator[Path]:
        for path in self._paths:
            yield from recording_files(path)


def _identity(path: Path) -> str:
    """A hash of the path: a page must not learn the path itself."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]


def _entry(path: Path) -> dict[str, Any] | None:
    try:
        with Recording(path) as recording:
            now = status(recording)
            return {
                "id": _identity(path),
                "name": recording.meta.name,
                "rank": recording.meta.rank,
                "world": recording.meta.world,
                "wall_ns": recording.meta.wall_ns,
                "status": "stuck" if now.stuck else now.condition,
                "phase": now.phase,
                **now.counters._asdict(),
            }
    except RecordingError:
        return None

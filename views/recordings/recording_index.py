"""The recordings at some paths."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .rank_summary import add_ranks
from .recording import Recording
from .recording_files import recording_files
from .records import RecordingError
from .run_health import status
from .run_results import RunResults, run_results


class RecordingIndex:
    """Lists the recordings at some paths; each call reads the folders again.

    Args:
        paths: of recordings, or of folders, which are searched for `*.loop` with their subfolders;
            see `recording_files`.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [path.resolve() for path in paths]
        self._results: dict[Path, tuple[_Revision, RunResults]] = {}

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

    def results(self) -> dict[str, RunResults]:
        """The results of each readable recording by its `id`; read again only if it has changed."""
        known = self._results
        self._results = {p: new for p in self._recording_paths() if (new := _results(p, known))}
        return {_identity(path): results for path, (_, results) in self._results.items()}

    def _recording_paths(self) -> Iterator[Path]:
        for path in self._paths:
            yield from recording_files(path)


_Revision = tuple[object, ...]


def _results(
    path: Path, known: Mapping[Path, tuple[_Revision, RunResults]]
) -> tuple[_Revision, RunResults] | None:
    try:
        with Recording(path) as recording:
            revision = (recording.meta, recording.revision)
            if path in known and known[path][0] == revision:
                return known[path]
            return revision, run_results(recording)
    except RecordingError:
        return None


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

"""Find the facts of a run in what it has left: a recording, a checkpoint, a log."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...engine.checkpoint.checkpoint_paths import readable_checkpoints
from ...engine.checkpoint.manifest import MANIFEST_FILE, CheckpointError, Manifest
from ...events.utils.exception_text import first_message_line
from ...handlers.recording.format import MAGIC
from ..output.usage_error import UsageError
from .recording import Recording
from .recording_files import recording_files
from .records import RecordingError
from .untrusted_input import printable_names

LOG_FACTS = ".facts"
_LINES = ".jsonl"
_LONGEST_LINE = 1 << 24


def kept_facts(path: Path) -> dict[Path, dict[str, Any]]:
    """The facts in a file, or in all files of a folder; by path, without files that have none.

    Raises:
        UsageError: there is no such file, it cannot be read, or nothing there has facts.
    """
    if not path.exists():
        raise UsageError(f"cannot read {path}: there is no such file or folder")
    try:
        found = dict(_of_folder(path) if path.is_dir() else [(path, _of_file(path))])
    except (OSError, CheckpointError) as error:
        raise UsageError(f"cannot read {path}: {first_message_line(error)}") from None
    found = {file: facts for file, facts in found.items() if facts}
    if not found:
        raise UsageError(
            f"no facts of a run in {path}; allowed: a recording, a checkpoint, a log, or a folder "
            "of them, written from this version on"
        )
    return {file: printable_names(facts) for file, facts in found.items()}


def _of_folder(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    if (folder / MANIFEST_FILE).exists():
        yield folder, _of_manifest(Manifest.read(folder))
        return
    for checkpoint, manifest in list(readable_checkpoints(folder))[-1:]:  # the newest
        yield checkpoint, _of_manifest(manifest)
    lines = [file for file in sorted(folder.glob(f"*{_LINES}")) if not _beside(file).exists()]
    for file in [*recording_files(folder), *sorted(folder.glob(f"*{LOG_FACTS}")), *lines]:
        try:
            yield file, _of_file(file)
        except RecordingError as error:
            warnings.warn(f"skipping {file}: {first_message_line(error)}", stacklevel=3)


def _of_manifest(manifest: Manifest) -> dict[str, Any]:
    facts = manifest.facts.get("run")
    return facts if isinstance(facts, dict) else {}


def _of_file(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) == MAGIC:
            with Recording(file) as recording:
                return recording.table.facts
    beside = _beside(file)
    return _of_lines(beside if beside.exists() else file)


def _beside(log: Path) -> Path:
    return log.with_name(f"{log.name}{LOG_FACTS}")


def _of_lines(file: Path) -> dict[str, Any]:
    """The facts in the last line of JSON that has some: `{"fit": 0, "facts": {…}}`."""
    facts: dict[str, Any] = {}
    with file.open("rb") as opened:
        while text := opened.readline(_LONGEST_LINE):
            try:
                line = json.loads(text) if b'"facts"' in text else None
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict) and isinstance(line.get("facts"), dict):
                facts = line["facts"]
    return facts

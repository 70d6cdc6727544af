"""The checkpoint from which a batch can be had again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...engine import read_checkpoint
from ...engine.checkpoint.checkpoint_paths import readable_checkpoints, warn_skipped
from ...engine.checkpoint.manifest import DamagedError
from .rewind_target import RewindError


def checkpoint_before(folder: Path, step: int | None) -> tuple[Path, dict[str, Any]]:
    """The newest intact checkpoint at or before a step, and its content; the oldest one if None.

    Damaged ones are skipped with a warning.

    Raises:
        RewindError: there is none.
    """
    found = sorted(readable_checkpoints(folder), key=lambda item: (item[1].step, item[1].serial))
    if not found:
        raise RewindError(f"there is no checkpoint in {folder}")
    usable = found if step is None else [one for one in reversed(found) if one[1].step <= step]
    for path, manifest in usable:
        try:
            saved = read_checkpoint(path)
        except DamagedError as damage:
            warn_skipped(damage)
        else:
            if manifest.step != step or not _has_gradients(saved):
                return path, saved
    if step is None:
        raise RewindError(f"every checkpoint in {folder} is damaged; a warning describes each")
    raise RewindError(
        f"there is no intact checkpoint before step {step} in {folder}: the oldest is at step "
        f"{found[0][1].step}; Checkpoint(keep_last=None) keeps all"
    )


def _has_gradients(saved: dict[str, Any]) -> bool:
    """Whether it was saved between two batches of the same step, of which the first is wanted."""
    return any(value is not None for value in saved["gradients"].values())

"""Writing a folder of checkpoints: each whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from .atomic_directory import Draft, Written, discard, is_temporary, make_folder
from .checkpoint_paths import REST, WEIGHTS, found, free_name, readable
from .directory_lock import FolderLock
from .manifest import MANIFEST, CheckpointError, Manifest
from .safetensors_writer import fits, tied, write_weights
from .tensor_snapshot import snapshot


class CheckpointStore:
    """Writes checkpoints into one folder, and keeps those that are wanted.

    Args:
        folder: made when the first one is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = FolderLock(self.folder)
        self._known: dict[Path, Manifest] = {}

    def open(self, new: bool = False) -> None:
        """Begin to write: make the folder, lock it, sweep what a killed process left half done.

        Args:
            new: for a fit that begins, and must not be mixed up with another one.

        Raises:
            CheckpointError: another process writes into it; it is `new`, and holds checkpoints.
            OSError: it cannot be made, or not be written into.
        """
        make_folder(self.folder)
        self._lock.acquire()
        if new and found(self.folder):
            raise CheckpointError(
                f"{self.folder} holds checkpoints of another fit: go on from them with "
                f"fit(resume={str(self.folder)!r}), or give this fit a folder of its own"
            )
        for path in self.folder.iterdir():
            if is_temporary(path):
                shutil.rmtree(path)
        self._known = dict(readable(self.folder))

    def close(self) -> None:
        """Let others write."""
        self._lock.release()

    @property
    def written(self) -> dict[Path, Manifest]:
        """The checkpoints that are here, oldest first; not checked against damage."""
        return dict(sorted(self._known.items(), key=lambda item: item[1].serial))

    def copied(self, state: dict[str, Any]) -> dict[str, Any]:
        """A copy of a state dict, in memory, that training does not change."""
        return snapshot(state, copy=True)

    def save(self, state: dict[str, Any], step: int, facts: dict[str, Any]) -> Path:
        """Write a checkpoint; when this returns, a power cut does not take it away.

        Args:
            state: what `Trainer.state_dict` gave, or a copy of it.
            step: optimizer updates made.
            facts: JSON, for the manifest: what tells this one from others.

        Raises:
            OSError: the disk is full, the folder gone; the checkpoints there are untouched.
        """
        content = snapshot(state)
        serial = 1 + max((known.serial for known in self._known.values()), default=0)
        path = free_name(self.folder, step)
        try:
            with Draft(self.folder) as draft:
                manifest = Manifest(step, serial, facts, _write_files(draft, content))
                draft.write(MANIFEST, lambda file: file.write(manifest.text()))
                draft.commit(path)
        except BaseException as error:
            error.add_note(f"trackside: {path}, a checkpoint, was not written")
            raise
        self._known = {**self._known, path: manifest}
        return path

    def keep(self, wanted: Collection[Path]) -> None:
        """Delete every checkpoint that is not wanted."""
        unwanted = [path for path in self._known if path not in wanted]
        self._known = {path: known for path, known in self._known.items() if path in wanted}
        for path in unwanted:
            if path.is_dir():
                discard(path)


def _write_files(draft: Draft, state: dict[str, Any]) -> dict[str, Written]:
    weights = {name: value for name, value in state["model"].items() if fits(value)}
    others = {name: value for name, value in state["model"].items() if name not in weights}
    same = tied(weights)
    rest = {"state": state | {"model": others}, "tied": same}
    single = {name: value for name, value in weights.items() if name not in same}
    return {
        WEIGHTS: draft.write(WEIGHTS, lambda file: write_weights(file, single)),
        REST: draft.write(REST, lambda file: torch.save(rest, file)),
    }

"""Write and delete the checkpoints of a folder; each is written completely or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...events import TrainState
from ...events.trainer_protocol import Peers
from ...events.utils.exact_context import exact_context
from ...events.utils.exception_text import add_note
from ..fit_state.sharded_tensors import SHARDS
from .atomic_directory import AtomicDirectory, FileDigest, discard, is_temporary, make_folder
from .checkpoint_paths import list_checkpoints, readable_checkpoints, unused_path
from .directory_lock import DirectoryLock
from .joint_writer import write_jointly
from .manifest import MANIFEST_FILE, STATE_FILE, WEIGHTS_FILE, CheckpointError, Manifest
from .safetensors_writer import is_supported, tied_names, write_weights
from .small_tensors import without_small
from .tensor_snapshot import TensorCopies, snapshot_tensors
from .validated_weights import load_validated_weights


class CheckpointStore:
    """Writes checkpoints into one folder and deletes those that are no longer wanted.

    Args:
        folder: created by `open`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = DirectoryLock(self.folder)
        self._manifests: dict[Path, Manifest] = {}
        self._copies = TensorCopies()

    def open(self, new: bool = False) -> None:
        """Create and lock the folder, and delete unfinished checkpoints of killed processes.

        Args:
            new: refuse a folder that already contains checkpoints, which are from another fit.

        Raises:
            CheckpointError: another process or trainer has locked the folder; or `new`, and it
                contains checkpoints. The folder is not locked then.
            OSError: the folder cannot be created or written to.
        """
        make_folder(self.folder)
        self._lock.acquire()
        try:
            self._inspect(new)
        except BaseException:
            self._lock.release()
            raise

    def _inspect(self, new: bool) -> None:
        if new and list_checkpoints(self.folder):
            raise CheckpointError(
                f"{self.folder} contains checkpoints of another fit: resume it with "
                f"fit(resume={str(self.folder)!r}), or use another folder for this fit"
            )
        for path in self.folder.iterdir():
            if is_temporary(path):
                shutil.rmtree(path)
        self._manifests = dict(readable_checkpoints(self.folder))

    def close(self) -> None:
        """Unlock the folder, and give the memory of the copies back."""
        self._copies.drop()
        self._lock.release()

    @property
    def written(self) -> dict[Path, Manifest]:
        """The checkpoints in the folder, oldest first; their files are not checked."""
        return dict(sorted(self._manifests.items(), key=lambda item: item[1].serial))

    def copied(self, state: dict[str, Any]) -> dict[str, Any]:
        """A copy of a state dict in CPU memory, which training does not change, but the next copy.

        Until `close` its memory is kept for that one.
        """
        return self._copies.copied(state)

    def save(self, state: dict[str, Any], step: int, facts: dict[str, Any]) -> Path:
        """Write a checkpoint and return its path; afterwards it survives a power cut.

        Args:
            state: the return value of `Trainer.state_dict`, or a copy of it.
            step: optimizer updates made.
            facts: JSON for the manifest that describes this checkpoint.

        Raises:
            CheckpointError: this process has not opened the folder.
            OSError: the disk is full or the folder is missing; other checkpoints are untouched.
        """
        self._check_locked("write a checkpoint to")
        content = snapshot_tensors(state)
        with self._noted(step) as path, AtomicDirectory(self.folder) as directory:
            self._finish(directory, path, Manifest(step, self._serial(), facts, {}), content)
        return path

    def save_jointly(
        self, state: dict[str, Any], step: int, facts: dict[str, Any], peers: Peers
    ) -> None:
        """Write a checkpoint with the shards of all ranks, which call it together.

        Only rank 0 opens the folder. Raises on all ranks if it does on one, and nothing is written.

        Args:
            state: of rank 0 that of `Trainer.state_dict(shards=True)`; of the others its `shards`.
            peers: through which the ranks tell each other what they have done.
            step, facts: as for `save`.

        Raises:
            PeerError: another rank has failed; or as `save`.
        """
        content = snapshot_tensors(state)
        rest = {name: value for name, value in content.items() if name != SHARDS}

        def finish(directory: AtomicDirectory, written: dict[str, FileDigest]) -> None:
            self._check_locked("write a checkpoint to")
            self._finish(directory, path, Manifest(step, self._serial(), facts, written), rest)

        with self._noted(step) as path:
            write_jointly(self.folder, content, peers, finish)

    @exact_context
    def _noted(self, step: int) -> Iterator[Path]:
        """The path of a new checkpoint, which a note names if it is not written."""
        path = unused_path(self.folder, step)
        try:
            yield path
        except BaseException as error:
            add_note(error, f"trackside: the checkpoint {path} was not written")
            raise

    def _serial(self) -> int:
        return 1 + max((manifest.serial for manifest in self._manifests.values()), default=0)

    def _finish(
        self, directory: AtomicDirectory, path: Path, begun: Manifest, state: dict[str, Any]
    ) -> None:
        """Write what is missing, last the manifest, and rename the folder to `path`."""
        manifest = replace(begun, files=begun.files | _write_files(directory, state))
        directory.write(MANIFEST_FILE, lambda file: file.write(manifest.to_bytes()))
        directory.commit(path)
        self._manifests = {**self._manifests, path: manifest}

    def load_validated(self, path: Path, state: TrainState) -> None:
        """Load the weights that were validated when a checkpoint was saved into the model."""
        load_validated_weights(state, path)

    def keep(self, wanted: Collection[Path]) -> None:
        """Delete every checkpoint that is not in `wanted`. Raises: as `save`."""
        self._check_locked("delete checkpoints of")
        unwanted = [path for path in self._manifests if path not in wanted]
        self._manifests = {
            path: self._manifests[path] for path in self._manifests if path in wanted
        }
        for path in unwanted:
            if path.is_dir():
                discard(path)

    def _check_locked(self, tried: str) -> None:
        if not self._lock.is_held:
            raise CheckpointError(
                f"cannot {tried} {self.folder}: process {os.getpid()} has not locked it; call "
                "open() first. A process forked from the owner of the lock does not have it, and "
                "must use another folder"
            )


def _write_files(directory: AtomicDirectory, state: dict[str, Any]) -> dict[str, FileDigest]:
    weights = {name: value for name, value in state["model"].items() if is_supported(value)}
    others = {name: value for name, value in state["model"].items() if name not in weights}
    tied = tied_names(weights)
    others_of_all, small = without_small(state | {"model": others})
    rest = {"state": others_of_all, "tied": tied, "small": small}
    untied = {name: value for name, value in weights.items() if name not in tied}
    return {
        WEIGHTS_FILE: directory.write(WEIGHTS_FILE, lambda file: write_weights(file, untied)),
        STATE_FILE: directory.write(STATE_FILE, lambda file: torch.save(rest, file)),
    }

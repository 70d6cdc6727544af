"""A folder of checkpoints in a rehearsal: nothing is written, all that would be is planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ...events import TrainState
from ...events.rehearsal import RehearsalPlan
from ..checkpoint.checkpoint_paths import list_checkpoints, unused_path
from ..checkpoint.manifest import CheckpointError, Manifest


class PlannedStore:
    """Has the methods of a `CheckpointStore`."""

    def __init__(self, folder: str | Path, plan: RehearsalPlan, state: TrainState) -> None:
        self.folder = Path(folder).absolute()
        self._plan = plan
        self._state = state
        self._saves: Counter[int] = Counter()
        self.written: dict[Path, Manifest] = {}
        """The checkpoints that would be in the folder, oldest first."""

    def open(self, new: bool = False) -> None:
        """See whether the fit could write there.

        Raises:
            CheckpointError: the folder contains checkpoints.
        """
        if list_checkpoints(self.folder):
            raise CheckpointError(
                f"{self.folder} contains checkpoints: a new fit is refused there; resume them, or "
                "use another folder"
            )
        self._plan.check_writable(self.folder)

    def close(self) -> None:
        """Nothing is locked."""

    def copied(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state dict itself: it is not written."""
        return state

    def save(self, state: dict[str, Any], step: int, facts: dict[str, Any]) -> Path:
        """Plan a checkpoint; return its path."""
        path = unused_path(self.folder, step)
        self._saves[step] += 1
        if self._saves[step] > 1:
            path = path.with_name(f"{path.name}.{self._saves[step]}")
        self.written[path] = Manifest(step, self._saves.total(), facts, {})
        self._plan.files[path] = self._plan.state_bytes
        self._plan.will_do(self._state, f"checkpoint {path.name}: {facts['why']}")
        return path

    def keep(self, wanted: Collection[Path]) -> None:
        """Plan the deletion of every checkpoint that is not in `wanted`."""
        for path in [path for path in self.written if path not in wanted]:
            del self.written[path], self._plan.files[path]

    def load_validated(self, path: Path, state: TrainState) -> None:
        """No weights are kept."""


class PlansSaves:
    """The first base of the trainer of a rehearsal: saves are planned, and no state is captured.

    Tensors without values cannot be saved.
    """

    plan: RehearsalPlan
    state: TrainState

    def checkpoints(self, folder: str | Path) -> PlannedStore:
        """The store through which handlers plan checkpoints."""
        return PlannedStore(folder, self.plan, self.state)

    def state_dict(self, *, shards: bool = False) -> dict[str, Any]:
        """Empty."""
        return {}

"""What a handler may ask of the trainer that calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from .attachment import Attachment
from .cancel import Cancel
from .publisher import Explanation, Instrument
from .state import TrainState


class Chart(Protocol):
    """The chart of a trainer's fit."""

    @property
    def rows(self) -> Sequence[tuple[str, str | tuple[str, ...], str]]:
        """Trigger, source or sources, destination."""


class CheckpointFolder(Protocol):
    """A folder into which a trainer's checkpoints are written, each whole or not at all."""

    @property
    def written(self) -> Mapping[Path, Any]:
        """The manifests of the checkpoints in it, oldest first; each has `step` and `facts`."""

    def open(self, new: bool = False) -> None:
        """Make the folder, lock it, and delete what a killed process left half written."""

    def close(self) -> None:
        """Release the lock."""

    def copied(self, state: dict[str, Any]) -> dict[str, Any]:
        """A copy of a state dict, in memory, that training does not change."""

    def save(self, state: dict[str, Any], step: int, facts: dict[str, Any]) -> Path:
        """Write a checkpoint; when this returns, it survives a power cut."""

    def keep(self, wanted: Iterable[Path]) -> None:
        """Delete every other checkpoint."""


class TrainerProtocol(Protocol):
    """The sender of every signal: the first argument of a receiver."""

    @property
    def state(self) -> TrainState:
        """The state that every signal carries."""

    @property
    def name(self) -> str:
        """The name by which modules subscribe to it; may be empty."""

    @property
    def handlers(self) -> list[Any]:
        """Attached handlers and subscribed functions, in order of attachment."""

    @property
    def topology(self) -> Chart:
        """The chart of its fit."""

    @property
    def is_closing(self) -> bool:
        """Whether a cancel or an error is closing scopes."""

    def attach(self, handler: Any) -> Attachment:
        """Subscribe a handler."""

    def detach(self, subscribed: Any) -> None:
        """Detach a handler or a function."""

    def on(
        self,
        name: str,
        *,
        every: int = 1,
        once: bool = False,
        when: Callable[[Any, Any], bool] | None = None,
    ) -> Callable[[Any], Any]:
        """Subscribe a function to a signal."""

    def wrap(self, name: str, wrapper: Callable[[Any], Any]) -> Callable[[], None]:
        """Replace the activity `name` by `wrapper(activity)`; returns the undo."""

    def instrument(self, around: Instrument) -> Callable[[], None]:
        """Replace each receiver by `around(receiver, transition)`; returns the undo."""

    def explain(self, name: str) -> Explanation:
        """Who will run at a signal, in which order, and why."""

    def request(self, cancel: Cancel) -> None:
        """Request a cancel; it is raised at the next transition."""

    def state_dict(self) -> dict[str, Any]:
        """Everything from which the fit can resume."""

    def checkpoints(self, folder: str | Path) -> CheckpointFolder:
        """The folder into which this trainer's checkpoints are written."""

    def rng_kept(self, loader: Any) -> AbstractContextManager[None]:
        """Restore every random number generator when the block is left."""

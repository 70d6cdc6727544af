"""The activities of a trainer's fit: those of the loop, and those that go back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..events import TrainState
from .fit_state.checkpointed_trainer import CheckpointedTrainer
from .fit_state.rolling_back import roll_back
from .loop.activities import ACTIVITIES, OUTERMOST_WRAPS
from .loop.retried_batch import retry_with
from .statechart.compiled_table import Activity, LeafPhase

__all__ = ["OUTERMOST_WRAPS", "fit_activities"]


def fit_activities(
    trainer: CheckpointedTrainer, table: Callable[[], Mapping[str, LeafPhase]]
) -> dict[str, Activity]:
    """By name; `retry` and `restore` need the compiled table of the live run, and the trainer."""

    def forward_of(state: TrainState) -> Activity:
        forward = table()[f"{state.phase.rpartition('.')[0]}.forward"].activity
        assert forward is not None
        return forward

    return {**ACTIVITIES, "retry": retry_with(forward_of), "restore": lambda _: roll_back(trainer)}

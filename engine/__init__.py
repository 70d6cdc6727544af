"""Chart, state machine, training loop, trainer, checkpoints. Imports events, never handlers.

What a fit may do without is imported on first use: checkpoints, background runs, drawing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .batches.batch import set_batch
from .data.keyed_loader import KeyedLoader
from .engine import BusyError, Engine
from .fit_state.compatibility import ResumeError
from .loop.activities import ACTIVITIES, begin_pass
from .order.similar_lengths import SimilarLengths, pad_collate
from .order.skipping import SkipExample
from .statechart.chart import EVALUATION, SUPERVISED
from .statechart.chart_error import ChartError
from .statechart.compiled_table import IllegalTransitionError
from .statechart.composition import Chart
from .statechart.optimizer_update import update
from .statechart.phase_paths import RESTING
from .statechart.topology import Topology
from .trainer import Trainer

if TYPE_CHECKING:
    from .checkpoint.checkpoint_reader import NoCheckpointError, latest, read_checkpoint
    from .checkpoint.checkpoint_writer import CheckpointStore
    from .checkpoint.manifest import CheckpointError, DamagedError
    from .checkpoint.validated_weights import validated_weights
    from .diagram.diagram import Diagram
    from .hosting.background_run import Run
    from .hosting.interruption import Interruption, interruptible
    from .hosting.run_progress import Status
    from .rehearsal.stand_in_activities import RehearsalError

__all__ = [
    "ACTIVITIES",
    "EVALUATION",
    "RESTING",
    "SUPERVISED",
    "BusyError",
    "Chart",
    "ChartError",
    "CheckpointError",
    "CheckpointStore",
    "DamagedError",
    "Diagram",
    "Engine",
    "IllegalTransitionError",
    "Interruption",
    "KeyedLoader",
    "NoCheckpointError",
    "RehearsalError",
    "ResumeError",
    "Run",
    "SimilarLengths",
    "SkipExample",
    "Status",
    "Topology",
    "Trainer",
    "begin_pass",
    "interruptible",
    "latest",
    "pad_collate",
    "read_checkpoint",
    "set_batch",
    "update",
    "validated_weights",
]


_ON_USE = {
    "CheckpointError": "checkpoint.manifest",
    "CheckpointStore": "checkpoint.checkpoint_writer",
    "DamagedError": "checkpoint.manifest",
    "Diagram": "diagram.diagram",
    "Interruption": "hosting.interruption",
    "NoCheckpointError": "checkpoint.checkpoint_reader",
    "RehearsalError": "rehearsal.stand_in_activities",
    "Run": "hosting.background_run",
    "Status": "hosting.run_progress",
    "interruptible": "hosting.interruption",
    "latest": "checkpoint.checkpoint_reader",
    "read_checkpoint": "checkpoint.checkpoint_reader",
    "validated_weights": "checkpoint.validated_weights",
}
"""The module of each name that is imported on first use."""


def __getattr__(name: str) -> Any:
    if name not in _ON_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ON_USE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_USE})

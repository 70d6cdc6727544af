"""Chart, state machine, training loop, trainer, checkpoints. Imports events, never handlers."""

from typing import TYPE_CHECKING, Any

from .batches.batch import set_batch
from .checkpoint.checkpoint_reader import NoCheckpointError, latest, read_checkpoint
from .checkpoint.checkpoint_writer import CheckpointStore
from .checkpoint.manifest import CheckpointError, DamagedError
from .checkpoint.validated_weights import validated_weights
from .data.keyed_loader import KeyedLoader
from .data.similar_lengths import SimilarLengths, pad_collate
from .data.skipping import SkipExample
from .engine import BusyError, Engine
from .fit_state.compatibility import ResumeError
from .hosting.background_run import Run
from .hosting.interruption import Interruption, interruptible
from .hosting.run_progress import Status
from .loop.activities import ACTIVITIES, begin_pass
from .rehearsal.stand_in_activities import RehearsalError
from .statechart.chart import EVALUATION, SUPERVISED
from .statechart.chart_error import ChartError
from .statechart.compiled_table import IllegalTransitionError
from .statechart.composition import Chart
from .statechart.optimizer_update import update
from .statechart.phase_paths import RESTING
from .statechart.topology import Topology
from .trainer import Trainer

if TYPE_CHECKING:
    from .diagram.diagram import Diagram

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


def __getattr__(name: str) -> Any:
    if name != "Diagram":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .diagram.diagram import Diagram  # noqa: PLC0415  # drawing is loaded on first use

    return Diagram


def __dir__() -> list[str]:
    return [*globals(), "Diagram"]

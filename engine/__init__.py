"""The machine and the loop: chart, engine, activities, trainer. Knows events, never handlers."""

from .checkpoint.checkpoint_reader import NoCheckpointError, latest, read_checkpoint
from .checkpoint.checkpoint_writer import CheckpointStore
from .checkpoint.compatibility import ResumeError
from .checkpoint.manifest import CheckpointError, DamagedError
from .data.keyed_loader import KeyedLoader
from .diagram.diagram import Diagram
from .hosting.background_run import Run
from .hosting.interruption import Interruption, interruptible
from .hosting.run_progress import Status
from .loop.engine import BusyError, Engine
from .statechart.chart import EVALUATION, SUPERVISED
from .statechart.compiled_table import IllegalTransitionError
from .statechart.topology import ChartError, Topology
from .trainer import Trainer

__all__ = [
    "EVALUATION",
    "SUPERVISED",
    "BusyError",
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
    "ResumeError",
    "Run",
    "Status",
    "Topology",
    "Trainer",
    "interruptible",
    "latest",
    "read_checkpoint",
]

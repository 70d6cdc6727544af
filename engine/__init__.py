"""The machine and the loop: chart, engine, activities, trainer. Knows events, never handlers."""

from .chart import EVALUATION, SUPERVISED
from .checkpoint_reading import NoCheckpointError, latest, read_checkpoint
from .checkpoint_store import CheckpointStore
from .compatible import ResumeError
from .diagram import Diagram
from .engine import BusyError, Engine
from .interrupt import Interruption, interruptible
from .keyed_loader import KeyedLoader
from .manifest import CheckpointError, DamagedError
from .run import Run
from .status import Status
from .table import IllegalTransitionError
from .topology import ChartError, Topology
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

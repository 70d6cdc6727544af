"""The machine and the loop: chart, engine, activities, trainer. Knows events, never handlers."""

from .chart import EVALUATION, SUPERVISED
from .compatible import ResumeError
from .diagram import Diagram
from .engine import BusyError, Engine
from .interrupt import Interruption, interruptible
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
    "Diagram",
    "Engine",
    "IllegalTransitionError",
    "Interruption",
    "ResumeError",
    "Run",
    "Status",
    "Topology",
    "Trainer",
    "interruptible",
]

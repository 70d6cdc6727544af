"""Handlers to attach to a trainer: one small file each, independent of each other.

Each is imported on first use, so that the file format in `recording` can be used without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .augmentation.batch_transform import BatchTransform as BatchTransform
    from .augmentation.cutmix import CutMix as CutMix
    from .augmentation.label_smoothing import LabelSmoothing as LabelSmoothing
    from .augmentation.mixup import MixUp as MixUp
    from .averaging.ema import EMA as EMA
    from .averaging.swa import SWA as SWA
    from .checkpointing.checkpoint import Checkpoint as Checkpoint
    from .checkpointing.preemption import Preemption as Preemption
    from .control.early_stopping import EarlyStopping as EarlyStopping
    from .control.limit_batches import LimitBatches as LimitBatches
    from .control.rollback_on_spike import RollbackOnSpike as RollbackOnSpike
    from .control.skip_bad_batch import SkipBadBatch as SkipBadBatch
    from .control.skip_epochs import SkipEpochs as SkipEpochs
    from .control.snapshots import Snapshots as Snapshots
    from .control.step_limit import StepLimit as StepLimit
    from .control.stop_on_nan import StopOnNaN as StopOnNaN
    from .control.time_limit import TimeLimit as TimeLimit
    from .control.token_limit import TokenLimit as TokenLimit
    from .control.validate_every import ValidateEvery as ValidateEvery
    from .distributed.distributed import Distributed as Distributed
    from .logging.activation_stats import ActivationStats as ActivationStats
    from .logging.csv_logger import CSVLogger as CSVLogger
    from .logging.gradient_stats import GradientStats as GradientStats
    from .logging.history import History as History
    from .logging.json_lines import JSONLines as JSONLines
    from .logging.metrics import Metrics as Metrics
    from .logging.mlflow import MLflow as MLflow
    from .logging.progress_bar import ProgressBar as ProgressBar
    from .logging.tensorboard import TensorBoard as TensorBoard
    from .logging.wandb import WandB as WandB
    from .monitoring.open_telemetry import OpenTelemetry as OpenTelemetry
    from .monitoring.prometheus import Prometheus as Prometheus
    from .optimization.gradient_accumulation import GradientAccumulation as GradientAccumulation
    from .optimization.gradient_clip import GradientClip as GradientClip
    from .optimization.unfreeze import Unfreeze as Unfreeze
    from .optimization.weight_decay_groups import WeightDecayGroups as WeightDecayGroups
    from .performance.activation_checkpointing import (
        ActivationCheckpointing as ActivationCheckpointing,
    )
    from .performance.channels_last import ChannelsLast as ChannelsLast
    from .performance.compile import Compile as Compile
    from .performance.fuse import Fuse as Fuse
    from .performance.memory import Memory as Memory
    from .performance.mixed_precision import MixedPrecision as MixedPrecision
    from .performance.profiler import Profiler as Profiler
    from .performance.split_on_out_of_memory import SplitOnOutOfMemory as SplitOnOutOfMemory
    from .pictures.interpretation import Interpretation as Interpretation
    from .pictures.samples import Samples as Samples
    from .recording.journal import Journal as Journal
    from .recording.recorder import Recorder as Recorder
    from .schedules.annealing import Annealing as Annealing
    from .schedules.cosine_warmup import CosineWarmup as CosineWarmup
    from .schedules.flat_cosine import FlatCosine as FlatCosine
    from .schedules.lr_finder import LRFinder as LRFinder
    from .schedules.lr_schedule import LRSchedule as LRSchedule
    from .schedules.one_cycle import OneCycle as OneCycle
    from .schedules.reduce_on_plateau import ReduceOnPlateau as ReduceOnPlateau

_MODULES = {
    "BatchTransform": "augmentation.batch_transform",
    "CutMix": "augmentation.cutmix",
    "LabelSmoothing": "augmentation.label_smoothing",
    "MixUp": "augmentation.mixup",
    "EMA": "averaging.ema",
    "SWA": "averaging.swa",
    "Checkpoint": "checkpointing.checkpoint",
    "Preemption": "checkpointing.preemption",
    "EarlyStopping": "control.early_stopping",
    "LimitBatches": "control.limit_batches",
    "RollbackOnSpike": "control.rollback_on_spike",
    "SkipBadBatch": "control.skip_bad_batch",
    "SkipEpochs": "control.skip_epochs",
    "Snapshots": "control.snapshots",
    "StepLimit": "control.step_limit",
    "StopOnNaN": "control.stop_on_nan",
    "TimeLimit": "control.time_limit",
    "TokenLimit": "control.token_limit",
    "ValidateEvery": "control.validate_every",
    "Distributed": "distributed.distributed",
    "ActivationStats": "logging.activation_stats",
    "CSVLogger": "logging.csv_logger",
    "GradientStats": "logging.gradient_stats",
    "History": "logging.history",
    "JSONLines": "logging.json_lines",
    "MLflow": "logging.mlflow",
    "Metrics": "logging.metrics",
    "ProgressBar": "logging.progress_bar",
    "TensorBoard": "logging.tensorboard",
    "WandB": "logging.wandb",
    "OpenTelemetry": "monitoring.open_telemetry",
    "Prometheus": "monitoring.prometheus",
    "GradientAccumulation": "optimization.gradient_accumulation",
    "GradientClip": "optimization.gradient_clip",
    "Unfreeze": "optimization.unfreeze",
    "WeightDecayGroups": "optimization.weight_decay_groups",
    "ActivationCheckpointing": "performance.activation_checkpointing",
    "ChannelsLast": "performance.channels_last",
    "Compile": "performance.compile",
    "Fuse": "performance.fuse",
    "Memory": "performance.memory",
    "MixedPrecision": "performance.mixed_precision",
    "Profiler": "performance.profiler",
    "SplitOnOutOfMemory": "performance.split_on_out_of_memory",
    "Interpretation": "pictures.interpretation",
    "Samples": "pictures.samples",
    "Journal": "recording.journal",
    "Recorder": "recording.recorder",
    "Annealing": "schedules.annealing",
    "CosineWarmup": "schedules.cosine_warmup",
    "FlatCosine": "schedules.flat_cosine",
    "LRFinder": "schedules.lr_finder",
    "LRSchedule": "schedules.lr_schedule",
    "OneCycle": "schedules.one_cycle",
    "ReduceOnPlateau": "schedules.reduce_on_plateau",
}

__all__ = sorted(_MODULES)  # noqa: PLE0605  # one list of the names


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]

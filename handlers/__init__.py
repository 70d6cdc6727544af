"""Behaviours to attach to a trainer: one small file each, none knows another."""

from .augmentation.batch_transform import BatchTransform
from .augmentation.cutmix import CutMix
from .augmentation.label_smoothing import LabelSmoothing
from .augmentation.mixup import MixUp
from .averaging.ema import EMA
from .averaging.swa import SWA
from .checkpointing.checkpoint import Checkpoint
from .checkpointing.preemption import Preemption
from .control.early_stopping import EarlyStopping
from .control.limit_batches import LimitBatches
from .control.skip_bad_batch import SkipBadBatch
from .control.skip_epochs import SkipEpochs
from .control.step_limit import StepLimit
from .control.stop_on_nan import StopOnNaN
from .control.time_limit import TimeLimit
from .control.validate_every import ValidateEvery
from .logging.activation_stats import ActivationStats
from .logging.csv_logger import CSVLogger
from .logging.gradient_stats import GradientStats
from .logging.history import History
from .logging.json_lines import JSONLines
from .logging.metrics import Metrics
from .logging.mlflow import MLflow
from .logging.progress_bar import ProgressBar
from .logging.tensorboard import TensorBoard
from .logging.wandb import WandB
from .optimization.gradient_accumulation import GradientAccumulation
from .optimization.gradient_clip import GradientClip
from .optimization.unfreeze import Unfreeze
from .optimization.weight_decay_groups import WeightDecayGroups
from .performance.activation_checkpointing import ActivationCheckpointing
from .performance.channels_last import ChannelsLast
from .performance.compile import Compile
from .performance.memory import Memory
from .performance.mixed_precision import MixedPrecision
from .performance.profiler import Profiler
from .performance.split_on_out_of_memory import SplitOnOutOfMemory
from .recording.recorder import Recorder
from .schedules.annealing import Annealing
from .schedules.cosine_warmup import CosineWarmup
from .schedules.flat_cosine import FlatCosine
from .schedules.lr_finder import LRFinder
from .schedules.lr_schedule import LRSchedule
from .schedules.one_cycle import OneCycle
from .schedules.reduce_on_plateau import ReduceOnPlateau

__all__ = [
    "EMA",
    "SWA",
    "ActivationCheckpointing",
    "ActivationStats",
    "Annealing",
    "BatchTransform",
    "CSVLogger",
    "ChannelsLast",
    "Checkpoint",
    "Compile",
    "CosineWarmup",
    "CutMix",
    "EarlyStopping",
    "FlatCosine",
    "GradientAccumulation",
    "GradientClip",
    "GradientStats",
    "History",
    "JSONLines",
    "LRFinder",
    "LRSchedule",
    "LabelSmoothing",
    "LimitBatches",
    "MLflow",
    "Memory",
    "Metrics",
    "MixUp",
    "MixedPrecision",
    "OneCycle",
    "Preemption",
    "Profiler",
    "ProgressBar",
    "Recorder",
    "ReduceOnPlateau",
    "SkipBadBatch",
    "SkipEpochs",
    "SplitOnOutOfMemory",
    "StepLimit",
    "StopOnNaN",
    "TensorBoard",
    "TimeLimit",
    "Unfreeze",
    "ValidateEvery",
    "WandB",
    "WeightDecayGroups",
]

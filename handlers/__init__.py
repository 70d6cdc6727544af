"""Behaviours to attach to a trainer: one small file each, none knows another."""

from .activation_checkpointing import ActivationCheckpointing
from .activation_stats import ActivationStats
from .annealing import Annealing
from .batch_transform import BatchTransform
from .channels_last import ChannelsLast
from .checkpoint import Checkpoint
from .compile import Compile
from .cosine_warmup import CosineWarmup
from .csv_logger import CSVLogger
from .cutmix import CutMix
from .early_stopping import EarlyStopping
from .ema import EMA
from .flat_cosine import FlatCosine
from .gradient_accumulation import GradientAccumulation
from .gradient_clip import GradientClip
from .gradient_stats import GradientStats
from .history import History
from .json_lines import JSONLines
from .label_smoothing import LabelSmoothing
from .limit_batches import LimitBatches
from .lr_finder import LRFinder
from .lr_schedule import LRSchedule
from .memory import Memory
from .metrics import Metrics
from .mixed_precision import MixedPrecision
from .mixup import MixUp
from .mlflow import MLflow
from .one_cycle import OneCycle
from .preemption import Preemption
from .profiler import Profiler
from .progress_bar import ProgressBar
from .recorder import Recorder
from .reduce_on_plateau import ReduceOnPlateau
from .skip_bad_batch import SkipBadBatch
from .skip_epochs import SkipEpochs
from .split_on_out_of_memory import SplitOnOutOfMemory
from .step_limit import StepLimit
from .stop_on_nan import StopOnNaN
from .swa import SWA
from .tensorboard import TensorBoard
from .time_limit import TimeLimit
from .unfreeze import Unfreeze
from .validate_every import ValidateEvery
from .wandb import WandB
from .weight_decay_groups import WeightDecayGroups

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

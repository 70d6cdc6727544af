"""A PyTorch training engine: the loop is a state machine, every transition a signal.

The most used names are here, each imported on first use; the others are in the four packages:
`trackside.events`, `trackside.engine`, `trackside.handlers`, `trackside.views`.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import (
        KeyedLoader,
        Run,
        SkipExample,
        Trainer,
        interruptible,
        latest,
    )
    from .events import (
        Cancel,
        CancelBackwardException,
        CancelBatchException,
        CancelEpochException,
        CancelFitException,
        CancelStepException,
        CancelTrainException,
        CancelValidException,
        Handler,
        PeerError,
        RetryBatchException,
        RollbackException,
        TrainState,
        Transition,
    )
    from .handlers import (
        EMA,
        SWA,
        ActivationCheckpointing,
        ActivationStats,
        Annealing,
        BatchTransform,
        ChannelsLast,
        Checkpoint,
        Compile,
        CosineWarmup,
        CSVLogger,
        CutMix,
        Distributed,
        EarlyStopping,
        FlatCosine,
        Fuse,
        GradientAccumulation,
        GradientClip,
        GradientStats,
        History,
        Interpretation,
        Journal,
        JSONLines,
        LabelSmoothing,
        LimitBatches,
        LRFinder,
        LRSchedule,
        Memory,
        Metrics,
        MixedPrecision,
        MixUp,
        MLflow,
        OneCycle,
        OpenTelemetry,
        Preemption,
        Profiler,
        ProgressBar,
        Prometheus,
        Recorder,
        ReduceOnPlateau,
        RollbackOnSpike,
        Samples,
        SkipBadBatch,
        SkipEpochs,
        Snapshots,
        SplitOnOutOfMemory,
        StepLimit,
        StopOnNaN,
        TensorBoard,
        TimeLimit,
        TokenLimit,
        Unfreeze,
        ValidateEvery,
        WandB,
        WeightDecayGroups,
    )
    from .views import Job, ablate

__version__ = "0.1.0"

__all__ = [
    "EMA",
    "SWA",
    "ActivationCheckpointing",
    "ActivationStats",
    "Annealing",
    "BatchTransform",
    "CSVLogger",
    "Cancel",
    "CancelBackwardException",
    "CancelBatchException",
    "CancelEpochException",
    "CancelFitException",
    "CancelStepException",
    "CancelTrainException",
    "CancelValidException",
    "ChannelsLast",
    "Checkpoint",
    "Compile",
    "CosineWarmup",
    "CutMix",
    "Distributed",
    "EarlyStopping",
    "FlatCosine",
    "Fuse",
    "GradientAccumulation",
    "GradientClip",
    "GradientStats",
    "Handler",
    "History",
    "Interpretation",
    "JSONLines",
    "Job",
    "Journal",
    "KeyedLoader",
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
    "OpenTelemetry",
    "PeerError",
    "Preemption",
    "Profiler",
    "ProgressBar",
    "Prometheus",
    "Recorder",
    "ReduceOnPlateau",
    "RetryBatchException",
    "RollbackException",
    "RollbackOnSpike",
    "Run",
    "Samples",
    "SkipBadBatch",
    "SkipEpochs",
    "SkipExample",
    "Snapshots",
    "SplitOnOutOfMemory",
    "StepLimit",
    "StopOnNaN",
    "TensorBoard",
    "TimeLimit",
    "TokenLimit",
    "TrainState",
    "Trainer",
    "Transition",
    "Unfreeze",
    "ValidateEvery",
    "WandB",
    "WeightDecayGroups",
    "ablate",
    "interruptible",
    "latest",
]

_PACKAGES = ("engine", "events", "handlers", "views")
_HOMES = {
    **dict.fromkeys(("KeyedLoader", "Run", "SkipExample", "Trainer"), "engine"),
    **dict.fromkeys(("interruptible", "latest"), "engine"),
    **dict.fromkeys(("Handler", "PeerError", "TrainState", "Transition"), "events"),
    **dict.fromkeys((name for name in __all__ if name.startswith("Cancel")), "events"),
    **dict.fromkeys(("Job", "ablate"), "views"),
    **dict.fromkeys(("RetryBatchException", "RollbackException"), "events"),
}
"""The package of each name that is not in `handlers`."""

if not os.path.isdir(os.path.join(__path__[0], "events")):
    # in a checkout, the four packages are beside this folder
    __path__.append(os.path.dirname(__path__[0]))


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES.get(name, 'handlers')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})

"""The front door: what `trackside` exports."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import trackside
from trackside.events import signal_names
from trackside.events.recovery import RECOVERIES
from trackside.events.signals import NON_TRIGGER_SIGNALS, STANDARD_SIGNALS

ROOT = Path(__file__).parents[1]

PUBLIC = {
    "trackside": """
        ActivationCheckpointing ActivationStats Annealing BatchTransform CSVLogger Cancel
        CancelBackwardException CancelBatchException CancelEpochException CancelFitException
        CancelStepException CancelTrainException CancelValidException ChannelsLast Checkpoint
        Compile CosineWarmup CutMix Distributed EMA EarlyStopping FlatCosine
        Fuse GradientAccumulation GradientClip
        GradientStats Handler History Interpretation JSONLines Job Journal KeyedLoader
        LRFinder LRSchedule
        LabelSmoothing
        LimitBatches MLflow Memory Metrics MixUp MixedPrecision OneCycle OpenTelemetry
        PeerError Preemption Profiler ProgressBar Prometheus Recorder ReduceOnPlateau
        RetryBatchException RollbackException RollbackOnSpike Run SWA Samples SkipBadBatch
        SkipEpochs SkipExample Snapshots
        SplitOnOutOfMemory StepLimit StopOnNaN TensorBoard TimeLimit TokenLimit TrainState Trainer
        Transition Unfreeze ValidateEvery WandB WeightDecayGroups ablate interruptible
        latest
    """,
    "trackside.events": """
        Agreement AnyHandler AttachError Attachment CANCELS Cancel
        CancelBackwardException CancelBatchException CancelEpochException CancelFitException
        CancelStepException CancelTrainException CancelValidException Confusion
        Example Examples Explanation Handler
        IllegalCancelError OrderError OwnName PeerError Picture Publisher ReceiverError Recovery
        RecoveryError RehearsalPlan RetryBatchException Rollback RollbackException
        SIGNALS ScopeName Signal SignalName Snapshot TrainState TrainerProtocol Transition
        after_backward after_batch after_cancel_backward after_cancel_batch
        after_cancel_epoch after_cancel_fit after_cancel_step after_cancel_train
        after_cancel_validate after_epoch after_error after_fit after_loss after_pred
        after_rollback after_step after_train after_validate any_transition
        begin_backward begin_batch begin_epoch begin_fit begin_retry begin_rollback begin_step
        begin_train begin_validate
        cancel_for reported resumed signal
    """,
    "trackside.engine": """
        ACTIVITIES BusyError Chart ChartError CheckpointError CheckpointStore DamagedError
        Diagram EVALUATION Engine IllegalTransitionError Interruption KeyedLoader
        NoCheckpointError RESTING RehearsalError
        ResumeError Run SUPERVISED SimilarLengths SkipExample Status
        Topology Trainer begin_pass interruptible latest pad_collate read_checkpoint
        set_batch update validated_weights
    """,
    "trackside.handlers": """
        ActivationCheckpointing ActivationStats Annealing BatchTransform CSVLogger ChannelsLast
        Checkpoint Compile CosineWarmup CutMix Distributed EMA EarlyStopping FlatCosine
        Fuse GradientAccumulation
        GradientClip GradientStats History Interpretation JSONLines Journal LRFinder LRSchedule
        LabelSmoothing
        LimitBatches MLflow Memory Metrics MixUp MixedPrecision OneCycle OpenTelemetry
        Preemption Profiler ProgressBar Prometheus Recorder ReduceOnPlateau RollbackOnSpike
        SWA Samples SkipBadBatch SkipEpochs Snapshots SplitOnOutOfMemory
        StepLimit StopOnNaN TensorBoard TimeLimit TokenLimit Unfreeze ValidateEvery WandB
        WeightDecayGroups
    """,
    "trackside.views": """
        Job JournalComparison JournalDifference JournalError RankComparison RecordedError Recording
        RecordingError RewindError Status Study Totals Verification ablate compare_ranks
        diff_journals replay rewind status totals verify_resume watch_app
    """,
}


def test_the_names_for_type_checkers_are_those_of_the_signals_and_scopes():
    names = [*get_args(signal_names.PayloadName), "any_transition"]
    assert {*names} == {*STANDARD_SIGNALS, *NON_TRIGGER_SIGNALS}
    opening = {name for name in STANDARD_SIGNALS if name.startswith("begin_")} - {*RECOVERIES}
    begun = {name.removeprefix("begin_") for name in opening}
    assert {*get_args(signal_names.ScopeName)} == begun
    methods = {*names, *(f"within_{scope}" for scope in begun)}
    for path in ("handler.py", "handler_protocols.py"):
        tree = ast.parse((ROOT / "events" / path).read_text(encoding="utf-8"))
        found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert methods <= found, path
    assert not methods & {*dir(trackside.Handler)}


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_these(module):
    found = importlib.import_module(module)
    assert sorted(found.__all__) == PUBLIC[module].split()
    assert all(hasattr(found, name) for name in found.__all__)
    assert {*found.__all__} <= {*dir(found)}


def test_the_front_door_gives_the_same_objects_as_the_packages():
    packages = [importlib.import_module(module) for module in list(PUBLIC)[1:]]
    for name in trackside.__all__:
        homes = [getattr(package, name) for package in packages if name in package.__all__]
        assert homes, name
        assert all(home is getattr(trackside, name) for home in homes), name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'trackside' has no attribute 'Trainr'"):
        trackside.Trainr  # noqa: B018
    with pytest.raises(AttributeError, match=r"'trackside\.views' has no attribute 'ablat'"):
        trackside.views.ablat  # noqa: B018


def test_the_packages_are_attributes():
    assert trackside.handlers.EMA is trackside.EMA


def test_importing_it_loads_neither_torch_nor_blinker(tmp_path):
    code = "import sys, trackside; print(sorted({'torch', 'blinker', 'inspect'} & {*sys.modules}))"
    measured = [name for name in os.environ if name.startswith("COVERAGE_")]  # it imports inspect
    environment = {name: os.environ[name] for name in os.environ if name not in measured}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"

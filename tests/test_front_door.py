"""The front door: what `trackside` exports, from a checkout and from an installation."""

import ast
import importlib
import re
import shutil
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
        GradientStats Handler History JSONLines Job Journal KeyedLoader LRFinder LRSchedule
        LabelSmoothing
        LimitBatches MLflow Memory Metrics MixUp MixedPrecision OneCycle OpenTelemetry
        PeerError Preemption Profiler ProgressBar Prometheus Recorder ReduceOnPlateau
        RetryBatchException RollbackException RollbackOnSpike Run SWA SkipBadBatch
        SkipEpochs SkipExample Snapshots
        SplitOnOutOfMemory StepLimit StopOnNaN TensorBoard TimeLimit TokenLimit TrainState Trainer
        Transition Unfreeze ValidateEvery WandB WeightDecayGroups ablate interruptible
        latest
    """,
    "trackside.events": """
        Agreement AnyHandler AttachError Attachment CANCELS Cancel
        CancelBackwardException CancelBatchException CancelEpochException CancelFitException
        CancelStepException CancelTrainException CancelValidException Explanation Handler
        IllegalCancelError OrderError OwnName PeerError Publisher ReceiverError Recovery
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
        GradientClip GradientStats History JSONLines Journal LRFinder LRSchedule LabelSmoothing
        LimitBatches MLflow Memory Metrics MixUp MixedPrecision OneCycle OpenTelemetry
        Preemption Profiler ProgressBar Prometheus Recorder ReduceOnPlateau RollbackOnSpike
        SWA SkipBadBatch SkipEpochs Snapshots SplitOnOutOfMemory
        StepLimit StopOnNaN TensorBoard TimeLimit TokenLimit Unfreeze ValidateEvery WandB
        WeightDecayGroups
    """,
    "trackside.views": """
        Job JournalComparison JournalDifference JournalError RankComparison RecordedError Recording
        RecordingError RewindError Status Study Totals Verification ablate compare_ranks
        diff_journals replay rewind status totals verify_resume watch_app
    """,
}

WRONG = "  # wrong"
USER = """
from collections.abc import Iterator

import torch

from trackside import (
    EMA,
    CancelBatchException,
    Handler,
    History,
    KeyedLoader,
    Trainer,
    TrainState,
    Transition,
    __version__,
)
from trackside.events import OwnName, TrainerProtocol
from trackside.handlers import OneCycle

kind: type[Trainer] = Trainer
schedule: OneCycle = OneCycle(0.1)
version: str = __version__
wrong: int = History()  # wrong

model = torch.nn.Linear(1, 1)
trainer = Trainer(model, handlers=[EMA(), History(), "progress_bar"])


@trainer.on("after_loss")
def with_types(trainer: Trainer, state: TrainState) -> None: ...
@trainer.on("after_epoch", every=2, inside="fit")
def short(t: Trainer, s: TrainState) -> None: ...
@trainer.on("after_epoch")
def by_keyword(trainer: Trainer, **payload: object) -> None: ...
@trainer.on("any_transition", once=True)
def every_one(trainer: Trainer, state: TrainState, transition: Transition) -> None: ...
@trainer.on(OwnName("after_draw"))
def of_own_chart(trainer: Trainer, state: TrainState) -> None: ...
@trainer.within("epoch")
def around(trainer: Trainer, state: TrainState) -> Iterator[None]:
    yield
@trainer.within(OwnName("draw"))
def around_own(trainer: Trainer, state: TrainState) -> Iterator[None]:
    yield


trainer.on("after_los")  # wrong
trainer.on("after_loss", inside="epochs")  # wrong
trainer.within("batches")  # wrong
trainer.on("after_loss")(lambda trainer: None)  # wrong
trainer.on("any_transition")(short)  # wrong
trainer.on("after_loss")(every_one)  # wrong
trainer.within("epoch")(short)  # wrong
with_types(trainer, trainer.state)
with_types(trainer)  # wrong


class Plain:
    def after_loss(self, t: TrainerProtocol, s: TrainState) -> None:
        t.on("after_loss")(short)
        t.on("after_los")  # wrong

    def helper(self) -> None: ...


class PlainScope:
    def within_batch(self, trainer: Trainer, state: TrainState) -> Iterator[None]:
        yield


class PlainWrong:
    def after_loss(self, state: TrainState) -> None: ...


class Derived(Handler):
    def after_loss(self, trainer: Trainer, state: TrainState) -> None: ...

    def after_epoch(self, state: TrainState) -> None: ...  # wrong

    def within_batch(self, trainer: Trainer, state: TrainState) -> None: ...  # wrong


class OfOwnChart(Handler):
    def after_draw(self, trainer: Trainer, state: TrainState) -> None: ...


trainer.attach("progress_bar")
trainer.attach(EMA())
trainer.attach(Plain())
trainer.attach(PlainScope())
trainer.attach(OfOwnChart())
trainer.attach(PlainWrong())  # wrong
trainer.attach(EMA)  # wrong
trainer.attach(Plain)  # wrong
trainer.attach(short)  # wrong
Trainer(model, handlers=[Plain(), PlainScope(), EMA()])
Trainer(model, handlers=[EMA])  # wrong
several = [EMA(), History()]
Trainer(model, handlers=several)
"""


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


def test_the_packages_are_attributes():
    assert trackside.handlers.EMA is trackside.EMA


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with a plain installation, made of a copy: a build writes into its source."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    shutil.copytree(
        ROOT,
        source / "trackside",
        ignore=shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "tests", "benchmarks"),
    )
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "-q", *options, "--target", site]
    subprocess.run([*command, source / "trackside"], check=True)
    return site


def python(*arguments, cwd, site=None):
    """Run Python without the editable installation of these tests; `site` stands for it."""
    start = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'Editable' not in repr(f)];"
    )
    *options, code = arguments
    done = subprocess.run(
        [sys.executable, *options, "-c", start + code],
        cwd=cwd,
        env={"PYTHONPATH": str(site or "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


WHERE = "import trackside, trackside.events; print(trackside.__file__, trackside.events.__file__)"


def test_an_installation_is_found_from_anywhere(site, tmp_path):
    installed = site / "trackside"
    assert python(WHERE, cwd=tmp_path, site=site) == [
        str(installed / "__init__.py"),
        str(installed / "events" / "__init__.py"),
    ]


def test_in_the_root_of_a_checkout_the_checkout_is_used_and_not_half_of_an_installation(site):
    assert python(WHERE, cwd=ROOT, site=site) == [
        str(ROOT / "trackside" / "__init__.py"),
        str(ROOT / "events" / "__init__.py"),
    ]


def test_an_installation_has_its_marker_for_type_checkers_and_the_page(site):
    assert (site / "trackside" / "py.typed").is_file()
    assert [*(site / "trackside" / "views" / "page" / "assets").rglob("*.js")]


@pytest.mark.parametrize("place", ["a checkout", "elsewhere"])
def test_the_module_is_the_command_line(place, site, tmp_path):
    code = "sys.argv = ['trackside', '--version']; import runpy; runpy.run_module('trackside')"
    code = f"\ntry: {code.replace(chr(10), ' ')}\nexcept SystemExit: pass"
    cwd = ROOT if place == "a checkout" else tmp_path
    assert python(code, cwd=cwd, site=site) == ["trackside", trackside.__version__]


def test_importing_it_loads_neither_torch_nor_blinker(tmp_path):
    code = "import sys, trackside; print(sorted({'torch', 'blinker', 'inspect'} & {*sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--cache-dir"],
    "pyright": ["-m", "pyright", "--pythonpath", sys.executable],
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_see_the_names_of_an_installation(checker, site, tmp_path):
    (tmp_path / "user.py").write_text(USER)
    options = [str(tmp_path / "cache")] if checker == "mypy" else []
    done = subprocess.run(
        [sys.executable, *CHECKERS[checker], *options, "user.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(site), "PYTHONPATH": str(site), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = USER.splitlines()
    expected = {number for number, line in enumerate(lines, 1) if line.endswith(WRONG)}
    found = {int(n) for n in re.findall(r"user\.py:(\d+):.*error:", done.stdout)}
    assert found == expected, done.stdout + done.stderr

"""Handlers that know nothing of each other, together in one fit, in every order."""

import io
import itertools
import random
import tempfile
from pathlib import Path

import numpy
import pytest
import torch
from helpers import CANCELS, LEGAL, batches, equal, model, raise_at, trainer_of, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trackside import handlers as h
from trackside.engine import RESTING, SUPERVISED, Chart, update
from trackside.events import SIGNALS, AttachError

CLASSES = 4
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

# name → how a fit of 2 × 4 batches gets it; `out` is a folder of the test's own
MAKE = {
    "ActivationCheckpointing": lambda out: h.ActivationCheckpointing(nn.Conv2d),
    "ActivationStats": lambda out: h.ActivationStats(every=2),
    "Annealing": lambda out: h.Annealing("weight_decay", lambda progress: 1e-3 * progress),
    "BatchTransform": lambda out: h.BatchTransform(lambda xb, yb: (xb * 0.5, yb)),
    "CSVLogger": lambda out: h.CSVLogger(out / "log.csv", every=2),
    "ChannelsLast": lambda out: h.ChannelsLast(),
    "Compile": lambda out: h.Compile(backend="eager"),
    "CosineWarmup": lambda out: h.CosineWarmup(),
    "CutMix": lambda out: h.CutMix(),
    "Distributed": lambda out: h.Distributed(),
    "EMA": lambda out: h.EMA(0.9),
    "EarlyStopping": lambda out: h.EarlyStopping("train_loss"),
    "FlatCosine": lambda out: h.FlatCosine(),
    "Fuse": lambda out: h.Fuse("eager", trial=1),
    "GradientAccumulation": lambda out: h.GradientAccumulation(2),
    "GradientClip": lambda out: h.GradientClip(0.1),
    "GradientStats": lambda out: h.GradientStats(every=2),
    "History": lambda out: h.History(),
    "Interpretation": lambda out: h.Interpretation(keep=2),
    "JSONLines": lambda out: h.JSONLines(out / "log.jsonl", every=2),
    "LRSchedule": lambda out: h.LRSchedule(
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3)
    ),
    "LabelSmoothing": lambda out: h.LabelSmoothing(),
    "LimitBatches": lambda out: h.LimitBatches(train=3, valid=1),
    "Memory": lambda out: h.Memory(),
    "Metrics": lambda out: h.Metrics(),
    "MixUp": lambda out: h.MixUp(),
    "MixedPrecision": lambda out: h.MixedPrecision(),
    "OneCycle": lambda out: h.OneCycle(0.1),
    "OpenTelemetry": lambda out: h.OpenTelemetry(batches=True, every=2),
    "Prometheus": lambda out: h.Prometheus(),
    "ProgressBar": lambda out: h.ProgressBar(file=io.StringIO()),
    "Profiler": lambda out: h.Profiler(out / "trace.json"),
    "ReduceOnPlateau": lambda out: h.ReduceOnPlateau("train_loss"),
    "SWA": lambda out: h.SWA(0.5),
    "Samples": lambda out: h.Samples(2),
    "SkipBadBatch": lambda out: h.SkipBadBatch(),
    "SkipEpochs": lambda out: h.SkipEpochs(1),
    "SplitOnOutOfMemory": lambda out: h.SplitOnOutOfMemory(),
    "StepLimit": lambda out: h.StepLimit(5),
    "StopOnNaN": lambda out: h.StopOnNaN(),
    "TensorBoard": lambda out: h.TensorBoard(out / "tb"),
    "TimeLimit": lambda out: h.TimeLimit(1.0, clock=lambda: 0.0),
    "TokenLimit": lambda out: h.TokenLimit(100),
    "Unfreeze": lambda out: h.Unfreeze(["0", "3"]),
    "ValidateEvery": lambda out: h.ValidateEvery(steps=2),
    "WeightDecayGroups": lambda out: h.WeightDecayGroups(),
}
# need services or a fit of their own; tested beside their files
ALONE = {
    *("Checkpoint", "Journal", "LRFinder", "MLflow", "Preemption", "Recorder", "WandB"),
    *("RollbackOnSpike", "Snapshots"),
}
# two of these write the same learning rate, or average the same weights
RIVALS = [
    {"CosineWarmup", "FlatCosine", "LRSchedule", "OneCycle", "ReduceOnPlateau", "Unfreeze"},
    {"EMA", "SWA"},
    {"MixUp", "CutMix", "LabelSmoothing"},
    {"WeightDecayGroups", "Unfreeze"},
    {"EarlyStopping", "SkipEpochs"},
    {"ReduceOnPlateau", "SkipEpochs"},
]
NEEDS = {
    "EarlyStopping": "Metrics",
    "ReduceOnPlateau": "Metrics",
    "RollbackOnSpike": "Snapshots",
}


def images(count=4, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(6, 1, 8, 8, generator=generator),
            torch.randint(0, CLASSES, (6,), generator=generator),
        )
        for _ in range(count)
    ]


def net():
    generator = torch.Generator().manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, CLASSES)
    )
    named = dict(made.named_parameters())
    for parameter in named.values():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 5
    return nn.Sequential(made[0], made[1], made[2], nn.Sequential(made[3], made[4]))


def trainer_with(made):
    network = net()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    return trainer_of(*made, net=network, optimizer=optimizer)


def compatible(names):
    chosen = []
    for name in names:
        rivals = [group for group in RIVALS if name in group]
        if not any(group & set(chosen) for group in rivals):
            chosen.append(name)
    for name in list(chosen):
        if NEEDS.get(name, name) not in chosen:
            chosen.append(NEEDS[name])
    return chosen


@st.composite
def handler_sets(draw):
    names = draw(st.lists(st.sampled_from(sorted(MAKE)), min_size=2, max_size=8, unique=True))
    return draw(st.permutations(compatible(names)))


class Scopes:
    """Follows which scopes are open."""

    def __init__(self):
        self.open = []

    def any_transition(self, trainer, state, transition):
        moment, _, scope = transition.trigger.partition("_")
        if moment == "begin":
            self.open.append(scope)
        elif scope in CANCELS:
            assert self.open.pop() == scope


def host_generators():
    state = numpy.random.get_state()
    return [
        random.getstate(),
        (state[1].tolist(), *state[2:]),
        torch.get_rng_state().tolist(),
    ]


def hooks(module):
    return [
        hook
        for part in module.modules()
        for kind in (
            "_forward_hooks",
            "_forward_pre_hooks",
            "_backward_hooks",
            "_backward_pre_hooks",
        )
        for hook in getattr(part, kind).values()
    ]


def assert_nothing_is_left(trainer, scopes):
    assert scopes.open == []
    assert not torch.is_autocast_enabled("cpu")
    assert torch.is_grad_enabled()
    network = trainer.state.model
    for handler in list(trainer.handlers):
        trainer.detach(handler)
    assert hooks(network) == []
    assert trainer._registry._wraps == []
    assert [name for name, s in SIGNALS.items() if list(s.receivers_for(trainer))] == []


def test_every_handler_is_composed_or_tested_alone():
    assert set(MAKE) | ALONE == set(h.__all__)


@given(handler_sets())
@settings(max_examples=60)
def test_any_handlers_in_any_order_leave_nothing_behind(names):
    with tempfile.TemporaryDirectory() as folder:
        made = [MAKE[name](Path(folder)) for name in names]
        scopes = Scopes()
        trainer = trainer_with([scopes, *made])
        before = host_generators()
        trainer.fit(images(), images(2, seed=4), epochs=2)
        assert trainer.state.phase in ("completed", "cancelled")
        tensors = trainer.state.model.state_dict().values()
        assert all(bool(t.isfinite().all()) for t in tensors), names
        assert host_generators() == before
        assert_nothing_is_left(trainer, scopes)


@given(handler_sets(), st.sampled_from(LEGAL), st.integers(0, 8))
@settings(max_examples=60)
def test_any_handlers_survive_any_cancel_at_any_signal(names, where, place):
    signal, scope = where
    with tempfile.TemporaryDirectory() as folder:
        made = [MAKE[name](Path(folder)) for name in names]
        scopes = Scopes()
        trainer = trainer_with([scopes, *made[:place]])
        if signal.startswith("after_cancel_"):
            inner = signal.removeprefix("after_cancel_")
            raise_at(trainer, f"begin_{inner}", CANCELS[inner])
        raise_at(trainer, signal, CANCELS[scope])
        for handler in made[place:]:
            trainer.attach(handler)
        trainer.fit(images(), images(2, seed=4), epochs=2)
        for handler in made:
            if isinstance(handler, h.History):
                ended = [row["epoch"] for row in handler.rows if row["outcome"] is not None]
                assert ended == list(range(len(ended)))
        assert_nothing_is_left(trainer, scopes)


@pytest.mark.parametrize(
    "order",
    list(itertools.permutations(range(5)))[::7],
    ids=lambda order: "".join(map(str, order)),
)
def test_clip_accumulation_precision_schedule_and_ema_commute(order):
    def fitted(places):
        ema = h.EMA(0.9, validate=False, final="trained")
        made = [
            h.GradientClip(0.1),
            h.GradientAccumulation(2),
            h.MixedPrecision(),
            h.LRSchedule(lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2)),
            ema,
        ]
        trainer = trainer_with([made[place] for place in places])
        trainer.fit(images(), epochs=2)
        return weights(trainer), [p.clone() for p in ema.averaged.module.parameters()]

    ours, averaged = fitted(order)
    theirs, their_average = fitted(range(5))
    assert equal(ours, theirs)
    assert equal(averaged, their_average)


def test_two_fits_with_a_validation_between_lose_and_mix_nothing():
    history, metrics = h.History(), h.Metrics()
    trainer = trainer_of(metrics, history)
    trainer.fit(batches(3), batches(2), epochs=2)
    first = [dict(row) for row in history.rows]
    trainer.validate(batches(4, seed=9))
    assert history.rows == first
    trainer.fit(batches(3), batches(2), epochs=1)
    assert history.rows[:2] == first
    assert [(row["fit"], row["epoch"]) for row in history.rows] == [(0, 0), (0, 1), (1, 0)]


NO_SYNC = [
    "ActivationStats",
    "Annealing",
    "BatchTransform",
    "CosineWarmup",
    "EMA",
    "FlatCosine",
    "GradientAccumulation",
    "GradientClip",
    "GradientStats",
    "History",
    "Interpretation",
    "LRSchedule",
    "LimitBatches",
    "Metrics",
    "MixedPrecision",
    "OneCycle",
    "StepLimit",
    "TimeLimit",
    "TokenLimit",
    "WeightDecayGroups",
]


def test_handlers_that_promise_no_sync_read_no_value_all_together(tmp_path):
    """On the meta device every read of a tensor's value raises."""
    names = compatible(NO_SYNC)
    network = model().to("meta")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    made = [MAKE[name](tmp_path) for name in names]
    trainer = trainer_of(*made, net=network, optimizer=optimizer, device="meta")
    trainer.fit(batches(4), batches(2), epochs=2)
    assert trainer.state.step > 0


def fit_in_one_phase():
    """A chart without a phase for the forward pass, the loss and the update."""
    return Chart(
        (
            ("begin_fit", RESTING, "fit.ready"),
            ("begin_epoch", "fit.ready", "fit.epoch.ready"),
            ("begin_train", "fit.epoch.ready", "fit.epoch.train.fetch"),
            ("begin_batch", "fit.epoch.train.fetch", "fit.epoch.train.batch.work"),
            ("after_batch", "fit.epoch.train.batch", "fit.epoch.train.fetch"),
            ("after_train", "fit.epoch.train", "fit.epoch.trained"),
            ("after_epoch", "fit.epoch", "fit.ready"),
            ("after_cancel_batch", "fit.epoch.train.batch", "fit.epoch.train.batch.cancelled"),
            ("after_cancel_train", "fit.epoch.train", "fit.epoch.train.cancelled"),
            ("after_cancel_epoch", "fit.epoch", "fit.epoch.cancelled"),
            ("after_cancel_fit", "fit", "fit.cancelled"),
            ("after_error", "fit", "fit.failing"),
            ("after_error", ("completed", "cancelled"), "failed"),
            ("after_fit", "fit.ready", "completed"),
            ("after_fit", "fit.cancelled", "cancelled"),
            ("after_fit", "fit.failing", "failed"),
        )
    )


def work(state):
    state.loss = nn.functional.cross_entropy(state.model(state.xb), state.yb)
    return "after_batch"


CHARTS = {
    "two updates": SUPERVISED.cut("validate").replace("batch", update("one"), update("other")),
    "no validation": SUPERVISED.cut("validate"),
    "no epoch": SUPERVISED.without("epoch"),
    "no update": fit_in_one_phase(),
}
WITH_FILES = {
    **MAKE,
    "Checkpoint": lambda out: h.Checkpoint(out, steps=1),
    "Journal": lambda out: h.Journal(out / "run.jsonl"),
    "Recorder": lambda out: h.Recorder(out / "run.loop"),
    "RollbackOnSpike": lambda out: h.RollbackOnSpike(),
    "Snapshots": lambda out: h.Snapshots(every=2),
}
# handlers that are refused on a chart, by what the message names
REFUSED = {
    "two updates": {"role evaluation": ["Interpretation", "Samples", "ValidateEvery"]},
    "no validation": {"role evaluation": ["Interpretation", "Samples", "ValidateEvery"]},
    "no epoch": {
        "after_epoch: none of its scopes has the role round": [
            *("ActivationStats", "GradientStats", "SWA"),
        ],
        "begin_epoch: none of its scopes has the role round": ["Memory", "SkipEpochs", "Unfreeze"],
    },
    "no update": {
        "role evaluation": ["Interpretation", "Samples", "ValidateEvery"],
        "after_step": ["CSVLogger", "EMA", "JSONLines", "LRSchedule", "SWA"],
        "begin_step": ["GradientAccumulation", "GradientClip", "GradientStats", "StopOnNaN"],
        "begin_backward": ["MixedPrecision", "SkipBadBatch"],
        "after_loss": ["RollbackOnSpike"],
        "activity 'backward'": [
            *("ActivationCheckpointing", "Distributed", "Fuse", "SplitOnOutOfMemory"),
        ],
        "activity 'forward'": ["ActivationStats", "Compile"],
        "activity 'loss'": ["CutMix", "LabelSmoothing", "MixUp"],
    },
}


@pytest.mark.parametrize("chart", CHARTS)
def test_a_handler_whose_role_is_missing_is_refused_and_every_other_works(chart, tmp_path):
    refused = {}
    for name, make in WITH_FILES.items():
        others = [WITH_FILES[NEEDS[name]](tmp_path)] if name in NEEDS else []
        activities = {"work": work} if chart == "no update" else None
        network = net()
        trainer = trainer_of(*others, net=network, chart=CHARTS[chart], activities=activities)
        try:
            trainer.attach(make(tmp_path / name))
        except AttachError as error:
            refused[name] = str(error)
            continue
        assert trainer.fit(images(2), epochs=2).outcome in ("completed", "cancelled"), name
    assert {*refused} == {name for names in REFUSED[chart].values() for name in names}, refused
    for named, names in REFUSED[chart].items():
        assert all(named in refused[name] for name in names), refused


def test_a_limit_of_the_validation_only_is_refused_where_there_is_none():
    with pytest.raises(AttachError, match="LimitBatches needs a scope with the role evaluation"):
        trainer_of(h.LimitBatches(valid=1), chart=CHARTS["no validation"])

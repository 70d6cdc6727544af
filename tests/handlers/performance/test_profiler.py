import gzip
import json
import logging

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    trainer_of,
    weights,
)
from nets import undisturbed

from trackside.events import CancelFitException
from trackside.handlers.performance.profiler import Profiler

TRAIN = "fit.epoch.train"


def profiler(tmp_path, *, wait=0, warmup=1, active=1, name="trace.json"):
    return Profiler(tmp_path / name, wait=wait, warmup=warmup, active=active)


def events(path):
    """The names of the events of a trace, in order of time."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    spans = [event for event in events if event.get("ph") == "X"]
    return [event["name"] for event in sorted(spans, key=lambda event: event["ts"])]


def phases(path):
    return [name for name in events(path) if name.startswith("fit.")]


def is_profiling():
    return torch.autograd._profiler_enabled()


def test_trace_contains_the_phases_by_name(tmp_path):
    watching = profiler(tmp_path, wait=1, warmup=1, active=2)
    trainer_of(watching).fit(batches(6))
    assert watching.files == [tmp_path / "trace.json"]
    batch = [
        f"{TRAIN}.batch.{phase}"
        for phase in (
            "forward",
            "loss",
            "scored",
            "backward.run",
            "differentiated",
            "step.run",
            "zero_grad",
        )
    ]
    fetch = f"{TRAIN}.fetch"
    assert phases(watching.files[0]) == [fetch, *batch, fetch, *batch]


def test_trace_contains_operators_within_phases(tmp_path):
    watching = profiler(tmp_path)
    trainer_of(watching).fit(batches(3))
    names = events(watching.files[0])
    assert names.index(f"{TRAIN}.batch.forward") < names.index("aten::addmm")
    assert names.index("aten::addmm") < names.index(f"{TRAIN}.batch.loss")


def test_validation_between_batches_is_recorded(tmp_path):
    watching = profiler(tmp_path, active=2)
    trainer_of(watching).fit(batches(2), batches(1), epochs=2)
    assert "fit.epoch.validate.batch.forward" in phases(watching.files[0])


def test_fit_that_ends_while_recording_writes_a_trace(tmp_path):
    watching = profiler(tmp_path, active=100)
    trainer_of(watching).fit(batches(3))
    assert phases(watching.files[0]).count(f"{TRAIN}.batch.forward") == 2
    assert not is_profiling()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, CancelFitException])
@pytest.mark.parametrize("signal", ["begin_batch", "after_loss", "begin_step", "after_batch"])
def test_any_end_of_fit_stops_the_profiler_and_writes_the_trace(tmp_path, signal, error):
    watching = profiler(tmp_path, active=3)
    trainer = trainer_of(watching)

    @trainer.on(signal, when=lambda t, s: s.batch_index == 2)
    def end(trainer, state):
        raise error

    if error is CancelFitException:
        trainer.fit(batches(5))
    else:
        with pytest.raises(error):
            trainer.fit(batches(5))
    assert not is_profiling()
    assert phases(watching.files[0])


def test_detach_during_fit_stops_and_writes_the_trace(tmp_path):
    watching = profiler(tmp_path, active=3)
    trainer, seen = trainer_of(watching), []
    trainer.on("after_loss", when=lambda t, s: s.batch_index == 2)(
        lambda t, state: t.detach(watching)
    )
    trainer.on("begin_step")(lambda t, state: seen.append(is_profiling()))
    trainer.fit(batches(4))
    assert seen == [False, True, False, False]
    assert phases(watching.files[0])


def test_each_fit_has_its_own_trace_and_validate_has_none(tmp_path):
    watching = profiler(tmp_path)
    trainer = trainer_of(watching)
    trainer.fit(batches(3))
    trainer.validate(batches(3))
    trainer.predict(batches(3))
    trainer.fit(batches(3))
    assert watching.files == [tmp_path / "trace.json", tmp_path / "trace-1.json"]
    assert phases(watching.files[0]) == phases(watching.files[1]) != []


def test_folder_is_created_and_trace_can_be_compressed(tmp_path):
    watching = profiler(tmp_path / "deep", name="trace.json.gz")
    trainer = trainer_of(watching)
    trainer.fit(batches(3))
    trainer.fit(batches(3))
    assert [path.name for path in watching.files] == ["trace.json.gz", "trace-1.json.gz"]
    assert phases(watching.files[1])


def test_fit_too_short_to_record_logs_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "trackside"):
        trainer_of(profiler(tmp_path, wait=3, warmup=2)).fit(batches(3))
    assert caplog.messages == ["Profiler recorded nothing: it begins after 5 batches"]


def test_unwritable_file_is_logged_and_training_continues(tmp_path, caplog):
    (tmp_path / "taken").write_text("")
    trainer, plain = trainer_of(profiler(tmp_path / "taken")), trainer_of()
    trainer.fit(batches(4), epochs=2)
    plain.fit(batches(4), epochs=2)
    assert "Profiler.any_transition failed" in caplog.text
    assert trainer.handlers == []
    assert not is_profiling()
    assert equal(weights(trainer), weights(plain))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wait": -1}, r"Profiler\(wait=-1\): allowed: an int, from 0"),
        ({"warmup": 0}, r"Profiler\(warmup=0\): allowed: an int, from 1"),
        ({"active": 0}, r"Profiler\(active=0\): allowed: an int, from 1"),
        ({"active": 1.5}, r"Profiler\(active=1.5\): found a float; allowed: an int, from 1"),
    ],
)
def test_invalid_arguments_raise(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Profiler(**options)


def test_training_is_bitwise_unchanged(tmp_path):
    plain, watched = trainer_of(), trainer_of(profiler(tmp_path, active=3))
    for trainer in (plain, watched):
        trainer.fit(batches(), batches(), epochs=2)
    assert equal(weights(plain), weights(watched))


def test_no_device_sync(tmp_path):
    watching = profiler(tmp_path)
    trainer_of(watching, net=model().to("meta"), device="meta").fit(batches(), batches(), epochs=2)
    assert phases(watching.files[0])


def test_global_generator_is_not_used(tmp_path):
    trainer = trainer_of(profiler(tmp_path))
    before = torch.get_rng_state()
    trainer.fit(batches())
    assert torch.equal(torch.get_rng_state(), before)


@every_cancel
@early_or_late
def test_any_cancel_stops_the_profiler_and_next_fit_has_a_trace(tmp_path, signal, scope, early):
    watching = profiler(tmp_path)
    trainer = cancelled_fit(watching, signal, scope, early)
    assert not is_profiling()
    assert watching._phase is None
    assert equal(weights(trainer), undisturbed(signal, scope))
    before = len(watching.files)
    trainer.fit(batches(3))
    assert phases(watching.files[before]).count(f"{TRAIN}.batch.forward") == 1

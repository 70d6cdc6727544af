"""Metrics stay in a recording for the whole run."""

import math
from itertools import pairwise

from helpers import batches, trainer_of
from hypothesis import given
from hypothesis import strategies as st
from recordings import recorded

from trackside.handlers import Metrics, Recorder
from trackside.handlers.recording import _mapped_file
from trackside.handlers.recording._metric_points import thinned
from trackside.views import Recording


def points_of(recording, name):
    return [one for one in recording.metrics() if one.name == name]


def test_metrics_stay_after_the_ring_has_lost_their_records(tmp_path):
    with recorded(tmp_path / "run.loop", Metrics(), epochs=40, records=256) as recording:
        assert len([s for s in recording.scalars() if s.name == "train_loss"]) < 40
        losses = points_of(recording, "train_loss")
    assert [one.epoch for one in losses] == [*range(40)]
    assert [one.step for one in losses] == [*range(5, 205, 5)]


def test_the_values_are_those_that_were_reported(tmp_path):
    reported = []

    class Keep:
        def reported(self, trainer, state):
            reported.append(dict(state.reported))

        def after_epoch(self, trainer, state):
            state.report(huge=1e300, bad=math.nan)

    with recorded(tmp_path / "run.loop", Metrics(), Keep(), epochs=3) as recording:
        losses = points_of(recording, "train_loss")
        assert {one.value for one in points_of(recording, "huge")} == {1e300}
        assert all(math.isnan(one.value) for one in points_of(recording, "bad"))
    assert [one.value for one in losses] == [
        float(values["train_loss"]) for values in reported if "train_loss" in values
    ]


def test_a_full_part_is_thinned_and_metrics_of_epochs_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(_mapped_file, "POINTS", 128)
    with recorded(tmp_path / "run.loop", Metrics(), epochs=12, train=20, scalars=1) as recording:
        assert recording.layout.points == 128
        losses, epochs = points_of(recording, "loss"), points_of(recording, "train_loss")
    assert [one.epoch for one in epochs] == [*range(12)]
    assert (losses[0].step, losses[-1].step) == (1, 240)
    assert 5 < len(losses) <= 128
    assert max(b.step - a.step for a, b in pairwise(losses)) < 120


def test_a_part_full_of_metrics_with_one_value_keeps_these(tmp_path, monkeypatch):
    monkeypatch.setattr(_mapped_file, "POINTS", 8)
    trainer = trainer_of(Recorder(tmp_path / "run.loop", scalars=1000))
    trainer.on("after_epoch")(lambda _, state: state.report(**{f"m{i}": i for i in range(12)}))
    trainer.fit(batches(2), epochs=1)
    with Recording(tmp_path / "run.loop") as recording:
        assert [one.name for one in recording.metrics()] == [f"m{i}" for i in range(8)]


def test_points_that_are_there_twice_because_the_process_was_killed_count_once(tmp_path):
    recorded(tmp_path / "run.loop", Metrics(), epochs=9).close()
    content = bytearray((tmp_path / "run.loop").read_bytes())
    with Recording(tmp_path / "run.loop") as recording:
        expected, at = recording.metrics(), recording.layout.points_at
    content[at + 32 : at + 64] = content[at : at + 32]
    (tmp_path / "torn.loop").write_bytes(content)
    with Recording(tmp_path / "torn.loop") as torn:
        assert torn.metrics() == [expected[0], *expected[2:]]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=60))
def test_thinning_keeps_the_first_and_last_point_of_each_metric_in_order(names):
    points = [(time, name, 0, 0, 0.0) for time, name in enumerate(names)]
    kept = thinned(points)
    assert kept == sorted(kept)
    for name in {*names}:
        own = [point for point in points if point[1] == name]
        left = [point for point in kept if point[1] == name]
        assert (left[0], left[-1]) == (own[0], own[-1])
    if max(map(names.count, names)) > 2:
        assert len(kept) < len(points)

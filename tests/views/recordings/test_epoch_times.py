import pytest
from helpers import batches, trainer_of
from recordings import recorded
from watched import CancelOneBatch

from trackside.engine import SUPERVISED
from trackside.handlers import Recorder
from trackside.handlers.recording.format import Kind
from trackside.views import Recording
from trackside.views.recordings.comparison import compare
from trackside.views.recordings.epoch_times import Spread, epoch_times

FORWARD = "fit.epoch.train.batch.forward"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("times") / "run.loop"
    with recorded(path, CancelOneBatch(), epochs=6, train=7, timing=True) as recording:
        yield recording


def transitions(recording):
    table = recording.table
    return [
        (record.time_ns, table.transition(record.id))
        for record in recording.records()
        if record.kind == Kind.TRANSITION
    ]


def test_each_epoch_lasts_from_its_begin_to_its_end(run):
    times = {"begin_epoch": [], "after_epoch": []}
    for time, entry in transitions(run):
        times.get(entry.trigger, []).append(time)
    expected = [(b - a) / 1e9 for a, b in zip(*times.values(), strict=True)]
    assert epoch_times([run]).epochs == expected
    assert len(expected) == 6


def test_each_phase_has_its_mean_stay_of_each_epoch(run):
    stays, since, source = [], 0, ""
    for time, entry in transitions(run):
        if entry.trigger == "begin_epoch":
            stays.append([])
        elif source == FORWARD:
            stays[-1].append((time - since) / 1e9)
        since, source = time, entry.destination
    expected = [sum(some) / len(some) for some in stays]
    assert epoch_times([run]).phases[FORWARD] == pytest.approx(expected)


def test_each_receiver_has_the_mean_time_of_its_calls_in_each_epoch(run):
    times = epoch_times([run]).receivers["CancelOneBatch.after_loss"]
    assert len(times) == 6
    assert min(times) > 0


def test_epochs_whose_begin_the_ring_has_lost_are_left_out(tmp_path):
    with recorded(tmp_path / "run.loop", epochs=9, records=256) as recording:
        times = epoch_times([recording])
        begins = sum(entry.trigger == "begin_epoch" for _, entry in transitions(recording))
    assert len(times.epochs) == begins < 9


def test_the_epochs_of_several_ranks_are_taken_together(run):
    assert len(epoch_times([run, run]).epochs) == 12


def test_a_spread_is_the_median_and_the_quartiles_of_four_or_more():
    assert Spread.of([1, 2, 3]) is None
    assert Spread.of([5, 1, 2, 3, 4]) == (5, 2, 3, 4)


def test_spreads_overlap_if_their_middle_halves_do():
    noise = Spread(9, 1.0, 1.5, 2.0)
    assert noise.overlaps(Spread(9, 1.9, 2.5, 3.0))
    assert Spread(9, 1.9, 2.5, 3.0).overlaps(noise)
    assert not noise.overlaps(Spread(9, 2.1, 2.5, 3.0))


def test_the_epochs_of_a_chart_with_other_names_are_its_rounds(tmp_path):
    chart = SUPERVISED.renamed({"epoch": "iteration"})
    trainer = trainer_of(Recorder(tmp_path / "run.loop"), chart=chart)
    trainer.fit(batches(3), epochs=5)
    with Recording(tmp_path / "run.loop") as recording:
        assert recording.meta.round == "iteration"
        assert len(epoch_times([recording]).epochs) == 5
        assert str(compare([recording], [recording])).startswith("iteration  A ")

import pytest
from helpers import CANCELS, batches, raise_at, trainer_of
from recordings import recorded

from trackside.handlers import EMA, Metrics, Recorder
from trackside.views.recordings.comparison import Difference, _facts_table, compare
from trackside.views.recordings.epoch_times import Spread
from trackside.views.recordings.totals import Total


def by_name(differences):
    return {difference.name: difference for difference in differences}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Two recordings; the second run is longer, has one more handler and a cancelled batch."""
    folder = tmp_path_factory.mktemp("both")
    recorded(folder / "a.loop", timing=True).close()
    trainer = trainer_of(EMA(), Recorder(folder / "b.loop", timing=True))
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(5), batches(2), epochs=3)
    return folder / "a.loop", folder / "b.loop"


@pytest.fixture(scope="module")
def compared(both):
    from trackside.views import Recording

    return compare(*([Recording(path)] for path in both))


def test_each_phase_has_its_count_in_both_runs(compared):
    forward = by_name(compared.phases)["fit.epoch.train.batch.forward"]
    assert (forward.before.count, forward.after.count) == (10, 15)
    assert forward.ns == forward.after.ns - forward.before.ns


def test_a_phase_of_one_run_only_has_count_0_in_the_other(compared):
    cancelled = by_name(compared.phases)["fit.epoch.train.batch.cancelled"]
    assert (cancelled.before.count, cancelled.after.count) == (0, 1)
    row = by_name(compared.rows)["after_cancel_batch → fit.epoch.train.batch.cancelled"]
    assert (row.before.count, row.after.count) == (0, 1)


def test_a_row_is_counted_for_all_its_sources(compared):
    row = by_name(compared.rows)["after_batch → fit.epoch.train.fetch"]
    assert (row.before.count, row.after.count) == (10, 15)


def test_each_receiver_has_its_calls_in_both_runs(compared):
    step = by_name(compared.receivers)["EMA.after_step"]
    assert (step.before.count, step.after.count) == (0, 14)


def test_the_largest_difference_comes_first(compared):
    for part in (compared.phases, compared.rows, compared.receivers):
        sizes = [abs(difference.ns) for difference in part]
        assert sizes == sorted(sizes, reverse=True)


def test_time_between_runs_is_not_compared(compared):
    assert "idle" not in by_name(compared.phases)
    assert by_name(compared.rows)["begin_fit → fit.ready"].after.ns == 0


def test_a_run_compared_with_itself_has_no_difference(both):
    from trackside.views import Recording

    same = compare([Recording(both[0])], [Recording(both[0])])
    assert same.facts == {}
    assert all(d.ns == 0 and d.before == d.after for d in (*same.phases, *same.rows))


def test_the_command_prints_a_table_of_phases_transitions_and_handlers(command, both):
    done = command("compare", *both)
    assert done.returncode == 0, done.stderr
    head, *tables = done.stdout.split("\n\n")
    tables = [table for table in tables if table.split()[0] in ("phase", "transition", "handler")]
    assert [line.split()[0] for line in head.splitlines()] == ["A", "B"]
    assert [table.split()[0] for table in tables] == ["phase", "transition", "handler"]
    (forward,) = [
        x for x in tables[0].splitlines() if x.startswith("fit.epoch.train.batch.forward")
    ]
    assert forward.split()[1:3] == ["10", "15"]
    (step,) = [line for line in tables[2].splitlines() if line.startswith("EMA.after_step")]
    assert "new" in step


def spread_over(median, epochs=9):
    return Spread(epochs, 0.9 * median, median, 1.1 * median)


def test_a_change_is_told_only_if_the_spreads_over_epochs_are_apart():
    def change(*spreads):
        return Difference("x", Total(10, 10**9), Total(10, 1_380_000_000), spreads).change

    assert change(spread_over(1.0), spread_over(1.38)) == "+38 %"
    assert change(Spread(9, 0.5, 1.0, 2.0), spread_over(1.38)) == "within spread"
    assert change(None, spread_over(1.38)) == "+38 %?"
    assert Difference("x", Total(), Total(1, 5)).change == "new"


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    """Two runs that differ in their seed and in what came out."""
    folder = tmp_path_factory.mktemp("seeded")
    for seed in (1, 2):
        trainer = trainer_of(Metrics(), Recorder(folder / f"{seed}.loop"))
        trainer.fit(batches(5, seed=seed), batches(2), epochs=5, seed=seed)
    return [folder / "1.loop", folder / "2.loop"]


def test_metrics_and_the_facts_that_differ_come_before_the_times(command, seeded):
    done = command("compare", *seeded)
    _, metrics, facts, epoch, phases, _ = done.stdout.split("\n\n")
    assert metrics.split()[:3] == ["metric", "last", "A"]
    assert [line.split() for line in facts.splitlines()[1:]] == [["seed", "1", "2"]]
    assert epoch.split()[0] == "epoch"
    assert "5 epochs" in epoch
    assert phases.startswith("phase")


def test_a_metric_of_one_run_only_has_a_dash_for_the_other(tmp_path):
    class Scores:
        def after_epoch(self, trainer, state):
            state.report(score=1.5)

    one = recorded(tmp_path / "one.loop", Metrics())
    other = recorded(tmp_path / "other.loop", Metrics(), Scores())
    compared = compare([one], [other])
    (line,) = [text for text in str(compared).splitlines() if text.startswith("score")]
    assert line.split() == ["score", "-", "1.5", "1.5"]


def test_metrics_of_both_runs_are_those_of_their_recordings(seeded):
    from trackside.views import Recording

    compared = compare(*([Recording(path)] for path in seeded))
    for path, side in zip(seeded, (0, 1), strict=True):
        values = [one.value for one in Recording(path).metrics() if one.name == "valid_loss"]
        result = compared.metrics["valid_loss"][side]
        assert (result.last, result.best) == (values[-1], min(values))


def test_a_file_that_is_not_a_recording_is_refused_in_one_line(refused, tmp_path, both):
    (tmp_path / "notes.txt").write_text("no recording")
    assert "notes.txt: it does not begin as a recording does" in refused(
        "compare", both[0], tmp_path / "notes.txt"
    )


def test_a_fact_that_is_too_long_for_a_column_has_a_line_for_each_run():
    long = "python " + "x" * 300
    table = _facts_table({"seed": (1, None), "command": (long, "python y")})
    assert table.splitlines() == [
        "fact that differs  A  B",
        "seed               1  -",
        "command",
        f"  A  {long}",
        "  B  python y",
    ]

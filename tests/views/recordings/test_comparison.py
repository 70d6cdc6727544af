import pytest
from helpers import CANCELS, batches, raise_at, trainer_of
from recordings import recorded

from trackside.handlers import EMA, Recorder
from trackside.views import totals
from trackside.views.recordings.comparison import compare


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

    return compare(*(totals(Recording(path)) for path in both))


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

    run = totals(Recording(both[0]))
    same = compare(run, run)
    assert all(d.ns == 0 and d.before == d.after for d in (*same.phases, *same.rows))


def test_the_command_prints_a_table_of_phases_transitions_and_handlers(command, both):
    done = command("compare", *both)
    assert done.returncode == 0, done.stderr
    head, *tables = done.stdout.split("\n\n")
    assert [line.split()[0] for line in head.splitlines()] == ["A", "B"]
    assert [table.split()[0] for table in tables] == ["phase", "transition", "handler"]
    (forward,) = [
        x for x in tables[0].splitlines() if x.startswith("fit.epoch.train.batch.forward")
    ]
    assert forward.split()[1:3] == ["10", "15"]
    (step,) = [line for line in tables[2].splitlines() if line.startswith("EMA.after_step")]
    assert "new" in step


def test_a_file_that_is_not_a_recording_is_refused_in_one_line(refused, tmp_path, both):
    (tmp_path / "notes.txt").write_text("no recording")
    assert "notes.txt: it does not begin as a recording does" in refused(
        "compare", both[0], tmp_path / "notes.txt"
    )

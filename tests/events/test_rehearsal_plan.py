from pathlib import Path

import pytest
from helpers import state_of

from trackside.events.rehearsal import PlannedEvent, RehearsalPlan


def test_a_plan_is_fine_until_there_is_a_problem():
    plan = RehearsalPlan()
    assert plan.ok
    plan.problems.append("the disk is full")
    assert not plan.ok


def test_an_event_is_planned_at_the_present_step_and_epoch():
    plan = RehearsalPlan()
    plan.will_do(state_of(step=7, epoch=2), "validation")
    assert plan.events == [PlannedEvent(7, 2, "validation")]
    assert "epoch 3, step 7: validation" in str(plan)


def test_a_file_below_a_file_is_a_problem_and_one_in_a_new_folder_is_not(tmp_path):
    (tmp_path / "file").touch()
    plan = RehearsalPlan()
    plan.will_write(tmp_path / "new" / "run.csv", 1500)
    plan.will_write(tmp_path / "file")
    assert plan.ok
    plan.will_write(tmp_path / "file" / "run.csv")
    below = tmp_path / "file" / "run.csv"
    assert plan.problems == [f"cannot write {below}: {tmp_path / 'file'} is a file"]
    assert "run.csv, 1.5 kB" in str(plan)


def test_a_file_is_planned_by_its_place_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = RehearsalPlan()
    plan.will_write("run.csv", 3)
    assert plan.files == {tmp_path / "run.csv": 3}


def test_a_folder_without_permission_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    plan = RehearsalPlan()
    plan.will_write(tmp_path / "run.csv")
    assert plan.problems == [
        f"cannot write {tmp_path / 'run.csv'}: no permission to write in {tmp_path}"
    ]


def test_files_that_do_not_fit_on_their_disk_together_are_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2000}))
    plan = RehearsalPlan(files={tmp_path / "a": 1000, tmp_path / "b": 1000, tmp_path / "c": None})
    plan.check_space()
    assert plan.ok
    plan.files[tmp_path / "c"] = 1
    plan.check_space()
    assert plan.problems == [f"2 kB would be written below {tmp_path}, where 2 kB are free"]


def test_a_handler_that_is_left_out_is_named_by_its_class():
    plan = RehearsalPlan()
    plan.leave_out(Path("x"), "it needs a server")
    plan.leave_out(test_a_plan_is_fine_until_there_is_a_problem, "why")
    assert list(plan.left_out) == [
        type(Path("x")).__name__,
        "test_a_plan_is_fine_until_there_is_a_problem",
    ]


def test_of_many_events_the_first_and_last_eight_are_shown():
    events = [PlannedEvent(step, 0, "save") for step in range(17)]
    assert "… 1 more …" in str(RehearsalPlan(events=events))
    assert "more" not in str(RehearsalPlan(events=events[:16]))
    shown = str(RehearsalPlan(events=events)).splitlines()
    assert [line for line in shown if "step 7:" in line or "step 9:" in line]
    assert not [line for line in shown if "step 8:" in line]
    assert "more" not in str(RehearsalPlan(problems=["x"] * 40))


@pytest.mark.parametrize(
    ("rates", "curve", "numbers"),
    [
        ([0.0, 0.5, 1.0], "▁▅█", "0 first, 1 highest, 1 last"),
        ([1.0] * 60 + [0.0] * 60, "█" * 30 + "▁" * 30, "1 first, 1 highest, 0 last"),
        ([float("nan")], "▁", "0 first, 0 highest, 0 last"),
    ],
)
def test_learning_rates_are_drawn_with_the_first_highest_and_last(rates, curve, numbers):
    text = str(RehearsalPlan(rates={"": rates, "head": rates}))
    for line in (f"  {curve}", f"  {numbers}", f"  head: {curve}", f"  head: {numbers}"):
        assert line in text.splitlines()


def test_a_plan_begins_with_its_outcome_and_counts():
    plan = RehearsalPlan(outcome="cancelled")
    plan.transitions.update(begin_batch=3, after_step=3, begin_fit=1)
    first = "the fit would be cancelled, after 7 transitions, 3 begin_batch, 3 after_step"
    assert str(plan) == first


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_400, "999 kB"),
        (2_500_000, "2.5 MB"),
        (999e12, "999 TB"),
    ],
)
def test_the_size_of_a_file_is_shown_in_units_of_1000(tmp_path, size, text):
    plan = RehearsalPlan(files={tmp_path / "a": size})
    assert str(plan).endswith(f"a, {text}")

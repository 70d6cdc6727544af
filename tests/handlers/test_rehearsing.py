"""Every handler is rehearsed without a problem, and without a trace; its fit is in resumable.py."""

import pytest
import resumable


@pytest.mark.parametrize("prepared", resumable.MAKERS, indirect=True)
def test_a_handler_is_rehearsed_without_a_problem(prepared, folder):
    job = resumable.MAKERS[prepared]()
    found = {*folder.rglob("*")}  # a recording is created when it is attached
    plan = job.trainer.rehearse(job.train_loader, job.valid_loader, epochs=2)
    assert (plan.problems, plan.remarks, plan.outcome) == ([], [], "completed")
    assert plan.transitions["after_step"] > 0
    assert {*folder.rglob("*")} == found


def test_all_together_are_rehearsed(folder):
    job = resumable.everything()
    plan = job.trainer.rehearse(job.train_loader, job.valid_loader, epochs=2)
    assert (plan.problems, plan.remarks) == ([], [])
    assert plan.transitions["begin_validate"] == 4


def test_the_files_of_loggers_are_planned(folder):
    files = {
        "JSONLines": ["log.jsonl", "log.jsonl.facts"],
        "CSVLogger": ["log.csv", "log.csv.facts"],
        "Recorder": ["run.loop"],
    }
    for name, expected in files.items():
        job = resumable.MAKERS[name]()
        plan = job.trainer.rehearse(job.train_loader, job.valid_loader)
        assert [*plan.files] == [folder / file for file in expected]


def test_a_tracking_server_that_does_not_answer_is_a_problem(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("RESUMABLE_MLFLOW", "http://127.0.0.1:9")  # nothing listens there
    job = resumable.MAKERS["MLflow"]()
    (problem,) = job.trainer.rehearse(job.train_loader, job.valid_loader).problems
    assert problem.startswith("MLflow: ")
    assert "127.0.0.1" in problem

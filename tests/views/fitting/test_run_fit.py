import csv

import pytest
import torch
from helpers import batches, trainer_of

from trackside.views import Job
from trackside.views.fitting.run_fit import fit_job


@pytest.fixture(scope="module")
def trained(run_in, tmp_path_factory):
    """A folder, and the command that trained a job and wrote its files there."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run_in(folder, "fit", "jobs.py:job", "--out", "runs/one")


@pytest.fixture(scope="module")
def failed(run_in, tmp_path_factory):
    """The same with a job that fails in its second epoch."""
    folder = tmp_path_factory.mktemp("failed")
    return folder, run_in(folder, "fit", "jobs:fails_in_training", "--out", "run")


def rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_job_is_trained_for_its_own_epochs(trained):
    _, done = trained
    assert done.returncode == 0, done.stderr
    _, head, *epochs, ending = done.stdout.splitlines()
    assert head.split() == ["epoch", "step", "lr", "train_loss", "valid_loss"]
    assert len(epochs) == 2
    assert ending == "completed after 10 steps"


def test_history_and_weights_are_written_to_the_out_folder(trained):
    folder, _ = trained
    out = folder / "runs" / "one"
    assert [row["epoch"] for row in rows(out / "history.csv")] == ["0", "1"]
    weights = torch.load(out / "model.pt", weights_only=True)
    torch.nn.Linear(4, 2).load_state_dict(weights)
    written = sorted(path.name for path in out.iterdir())
    assert written == ["config.yaml", "history.csv", "history.csv.facts", "loop.svg", "model.pt"]


def test_epochs_override_the_job_and_without_out_no_file_is_written(command, tmp_path):
    done = command("fit", "jobs:job", "--epochs", "3")
    assert "completed after 15 steps" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} <= {"jobs.py", "__pycache__"}


def test_zero_epochs_are_allowed(command, tmp_path):
    done = command("fit", "jobs:job", "--epochs", "0", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("completed after 0 steps\n")
    assert rows(tmp_path / "run" / "history.csv") == []


def test_a_cancelled_fit_prints_its_origin_and_reason(command):
    done = command("fit", "jobs:stops")
    assert done.returncode == 0
    assert done.stdout.endswith("cancelled after 5 steps by handler Stops.after_epoch: enough\n")


def test_a_job_that_cannot_be_fitted_is_refused_in_one_line(refused):
    assert "cannot fit this job: fit() needs a train_loader" in refused("fit", "jobs:has_no_loader")


def test_an_error_in_training_gives_a_traceback_and_exit_code_1(failed):
    _, done = failed
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ValueError: raised in the training" in done.stderr
    assert "handler FailsInTraining.after_loss" in done.stderr


def test_history_and_weights_are_written_after_an_error(failed):
    folder, _ = failed
    outcomes = [row["outcome"] for row in rows(folder / "run" / "history.csv")]
    assert outcomes == ["completed", "failed"]
    assert (folder / "run" / "model.pt").is_file()


def test_an_interrupt_before_the_first_epoch_prints_no_table(capsys, tmp_path):
    class Interrupts:
        def begin_fit(self, trainer, state):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_job(Job(trainer_of(Interrupts()), batches()), out=tmp_path)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("wrote ")
    assert (tmp_path / "model.pt").exists()

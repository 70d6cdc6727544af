import functools
import shutil
import signal

import pytest
import torch
from helpers import batches, trainer_of
from patience import until

from trackside import Checkpoint, Preemption
from trackside.engine import latest
from trackside.views.options.checkpoint_options import attach_checkpoint, find_resume_checkpoint

JOBS = """
import pathlib
import time

import torch
from torch import nn
from trackside.engine import KeyedLoader, Trainer
from trackside.handlers import Checkpoint
from trackside.views import Job

INPUTS, TARGETS = torch.arange(160.0).reshape(40, 4) / 160, torch.arange(40) % 2
DATA = torch.utils.data.TensorDataset(INPUTS, TARGETS)


class Stops:
    # the first process waits in batch 7 for the test

    def after_batch(self, trainer, state):
        reached = pathlib.Path("reached")
        if state.step == 7 and not reached.exists():
            reached.touch()
            deadline = time.monotonic() + 300
            while not pathlib.Path("continue").exists() and time.monotonic() < deadline:
                time.sleep(0.01)


def job(*handlers):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, handlers)
    return Job(trainer, KeyedLoader(DATA, 4, shuffle=True), KeyedLoader(DATA, 8), epochs=2)


def stops():
    return job(Stops())


def saves_itself():
    return job(Checkpoint("own", steps=5))
"""


@pytest.fixture
def fit(command, tmp_path):
    """Run `trackside fit saving:…` in the test's own directory."""
    (tmp_path / "saving.py").write_text(JOBS)
    return functools.partial(command, "fit")


@pytest.fixture
def preempted(fit, start, tmp_path):
    """A fit that SIGTERM has stopped: its exit code, stdout and stderr."""
    arguments = ["fit", "saving:stops", "--checkpoint", "run", "--resume", "auto"]
    with start(tmp_path, *arguments) as process:
        until((tmp_path / "reached").exists)
        process.send_signal(signal.SIGTERM)
        (tmp_path / "continue").touch()
        stdout, stderr = process.communicate(timeout=300)
    return process.returncode, stdout, stderr


def rows(stdout):
    """The printed epochs and summary."""
    return stdout.splitlines()[-3:]


def weights(folder):
    return torch.load(folder / "model.pt", weights_only=True)


def test_the_same_command_starts_a_fit_and_resumes_it(fit, preempted, tmp_path):
    code, stdout, stderr = preempted
    assert code == 143
    assert stdout.startswith("no checkpoint in run: a new fit begins\n")
    assert "received SIGTERM: the fit is saved, and ends" in stderr
    assert "Traceback" not in stderr
    saved = latest(tmp_path / "run")
    assert saved.name == "step-000000000007"

    again = ["saving:stops", "--checkpoint", "run", "--resume", "auto", "--out", "resumed"]
    resumed = fit(*again)
    assert resumed.returncode == 0, resumed.stderr
    assert f"resuming run/{saved.name}\n" in resumed.stdout
    whole = fit("saving:job", "--out", "whole")
    assert rows(resumed.stdout) == rows(whole.stdout)
    ours, theirs = weights(tmp_path / "resumed"), weights(tmp_path / "whole")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.fixture(scope="module")
def finished(run_in, tmp_path_factory):
    """The folder of a finished fit of a job with its own Checkpoint."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "saving.py").write_text(JOBS)
    run_in(folder, "fit", "saving:saves_itself")
    return folder / "own"


@pytest.fixture
def own(fit, finished, tmp_path):
    """A copy of its checkpoints, in the test's own directory."""
    return shutil.copytree(finished, tmp_path / "own")


def test_a_damaged_checkpoint_is_skipped_with_a_warning(fit, own):
    (latest(own) / "state.pt").write_bytes(b"")
    done = fit("saving:saves_itself", "--resume", "auto", "--epochs", "3")
    assert done.returncode == 0, done.stderr
    assert "skipping a damaged checkpoint" in done.stderr
    assert "resuming own/step-000000000015\n" in done.stdout
    assert "completed after 30 steps" in done.stdout


@pytest.mark.parametrize("resume", ["auto", "own/step-000000000020"])
def test_no_fit_begins_if_all_checkpoints_are_damaged(fit, own, resume):
    for path in own.glob("step-*"):
        (path / "state.pt").write_bytes(b"")
    done = fit("saving:saves_itself", "--resume", resume)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("trackside: ")
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["saving:job", "--resume", "auto"], "it needs a folder of checkpoints"),
        (["saving:job", "--resume", "nowhere"], "--resume nowhere: no checkpoint at this path"),
        (["saving:saves_itself", "--checkpoint", "other"], "the job already has a Checkpoint"),
    ],
)
def test_an_invalid_resume_is_refused_in_one_line(fit, arguments, message):
    done = fit(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_new_fit_does_not_save_to_the_folder_of_another(fit, own):
    done = fit("saving:saves_itself")
    assert done.returncode == 2
    assert "own contains checkpoints of another fit" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_job_with_a_preemption_of_its_own_keeps_it_alone(tmp_path):
    own = Preemption()
    trainer = trainer_of(own)
    attach_checkpoint(trainer, tmp_path)
    assert [one for one in trainer.handlers if isinstance(one, Preemption)] == [own]
    assert [one.folder for one in trainer.handlers if isinstance(one, Checkpoint)] == [tmp_path]


def test_a_fit_resumes_from_the_newest_checkpoint_of_a_folder_or_from_one_of_them(tmp_path):
    trainer = trainer_of(Checkpoint(tmp_path, epochs=1, keep_last=None))
    trainer.fit(batches(3), epochs=2)
    first, second = sorted(tmp_path.glob("step-*"))
    assert find_resume_checkpoint(trainer_of(), str(tmp_path)) == second
    assert find_resume_checkpoint(trainer_of(), str(first)) == first

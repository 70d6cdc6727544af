import functools
import os
import subprocess
import sys

import pytest
from forked import COMMAND, ENVIRONMENT, Forked, forked_workers, run_forked

from trackside.views.commands.main import main

JOBS = """
import torch
from torch import nn
from trackside.engine import Trainer
from trackside.events import CancelFitException
from trackside.views import Job

NUMBER = 3
BATCHES = [(torch.ones(3, 4), torch.tensor([0, 1, 0]))] * 5


def trainer(*handlers):
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, handlers)


def job():
    return Job(trainer(), BATCHES, BATCHES, epochs=2)


class ShowsDevice:
    def begin_fit(self, trainer, state):
        print(f"device is {state.device}")


def shows_its_device():
    return Job(trainer(ShowsDevice()), BATCHES)


def returns_a_trainer():
    return trainer()


def has_no_loader():
    return Job(trainer(), None)


def fails():
    raise TypeError("raised in the factory")


class FailsInTraining:
    def after_loss(self, trainer, state):
        if state.step == 7:
            raise ValueError("raised in the training")


def fails_in_training():
    return Job(trainer(FailsInTraining()), BATCHES, epochs=2)


class Stops:
    def after_epoch(self, trainer, state):
        raise CancelFitException("enough")


def stops():
    return Job(trainer(Stops()), BATCHES, epochs=9)
"""


@pytest.fixture(autouse=True)
def quick_workers():
    """The processes of `verify_resume` and of studies need not import torch."""
    with forked_workers():
        yield


@pytest.fixture(scope="session")
def run_in():
    """Run `trackside …` in a folder with jobs.py; the completed process, with its output."""

    def run(directory, *arguments):
        (directory / "jobs.py").write_text(JOBS)
        command = [COMMAND, *map(str, arguments)]
        return run_forked(command, cwd=directory, env=ENVIRONMENT)

    return run


@pytest.fixture
def start():
    """Start `trackside …` in a folder; the running process, with pipes."""

    def started(directory, *arguments):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [COMMAND, *map(str, arguments)]
        return Forked(command, cwd=directory, env=ENVIRONMENT, text=True, **pipes)

    return started


@pytest.fixture
def command(run_in, tmp_path):
    """Run `trackside …` in the test's own directory."""
    return functools.partial(run_in, tmp_path)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run a command here, check that it is a usage error, and return its one line."""
    (tmp_path / "jobs.py").write_text(JOBS)
    monkeypatch.chdir(tmp_path)
    others = [place for place in sys.path if not os.path.exists(os.path.join(place, "jobs.py"))]
    monkeypatch.setattr(sys, "path", others)

    def run(*arguments):
        monkeypatch.delitem(sys.modules, "jobs", raising=False)
        code = main([*map(str, arguments)])
        out, error = capsys.readouterr()
        assert (code, out) == (2, ""), error
        assert error.count("\n") == 1, error
        assert error.startswith("trackside: ")
        return error.strip()

    return run

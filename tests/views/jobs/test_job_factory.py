import pytest
import torch
from torch import nn

from trackside.engine import Trainer
from trackside.views import Job
from trackside.views.jobs.job_factory import create_job
from trackside.views.output.usage_error import UsageError

CPU = torch.device("cpu")


def job(device=None):
    return Job(Trainer(nn.Linear(2, 2), device=device), [])


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda size: job(), "cannot call jobs:f with no argument: missing a required argument"),
        (lambda device: job(), "missing a required argument: 'device'; allowed: a factory without"),
        (lambda: None, "jobs:f returned a NoneType; expected a trackside.views.Job"),
        (lambda: Job([], []), "the trainer of the Job of jobs:f is a list"),
    ],
)
def test_a_factory_that_does_not_return_a_job_is_refused(factory, message):
    with pytest.raises(UsageError, match=message):
        create_job(factory, "jobs:f")


def test_the_command_line_reports_a_wrong_factory_in_one_line(refused):
    assert "jobs:returns_a_trainer returned a Trainer" in refused("fit", "jobs:returns_a_trainer")


def test_a_factory_with_a_device_parameter_receives_the_device():
    assert create_job(job, "jobs:f", CPU).trainer.state.device == CPU


def test_without_a_device_the_default_of_the_factory_is_used():
    assert create_job(job, "jobs:f").trainer.state.device is None


def test_the_job_of_a_factory_without_device_parameter_is_moved(command):
    done = command("fit", "jobs:shows_its_device", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "device is cpu" in done.stdout


def test_an_error_in_the_factory_gives_a_traceback_and_exit_code_1(command):
    done = command("fit", "jobs:fails")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "TypeError: raised in the factory" in done.stderr

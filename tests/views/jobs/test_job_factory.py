import pytest
import torch
from torch import nn

from trackside.engine import Trainer
from trackside.views import Job
from trackside.views.jobs.job_factory import make_job
from trackside.views.output.usage_error import UsageError

CPU = torch.device("cpu")


def job(device=None):
    return Job(Trainer(nn.Linear(2, 2), device=device), [])


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (lambda size: job(), "cannot call jobs:f with no argument: missing a required argument"),
        (lambda device: job(), "missing a required argument: 'device'; a factory is given nothing"),
        (lambda: None, "jobs:f returned a NoneType; expected a trackside.views.Job"),
        (lambda: Job([], []), "the Job of jobs:f has a list for a trainer"),
    ],
)
def test_what_makes_no_job_is_refused(factory, said):
    with pytest.raises(UsageError, match=said):
        make_job(factory, "jobs:f")


def test_the_refusal_is_one_line_on_the_command_line(refused):
    assert "jobs:gives_a_trainer returned a Trainer" in refused("fit", "jobs:gives_a_trainer")


def test_a_factory_that_takes_the_device_gets_it():
    assert make_job(job, "jobs:f", CPU).trainer.state.device == CPU


def test_a_factory_that_can_do_without_a_device_decides_itself():
    assert make_job(job, "jobs:f").trainer.state.device is None


def test_what_another_factory_made_is_moved(command):
    done = command("fit", "jobs:shows_its_device", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "device is cpu" in done.stdout


def test_what_a_factory_raises_is_a_traceback_and_exit_code_1(command):
    done = command("fit", "jobs:fails")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "TypeError: said in the factory" in done.stderr

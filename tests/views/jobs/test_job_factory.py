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
        (lambda device: job(), "missing a required argument: 'device'; on the command line its"),
        (lambda: None, "jobs:f returned a NoneType; expected a trackside.Job: end it with"),
        (lambda: Job([], []), "the trainer of the Job of jobs:f is a list"),
    ],
)
def test_a_factory_that_does_not_return_a_job_is_refused(factory, message):
    with pytest.raises(UsageError, match=message):
        create_job(factory, "jobs:f")


def test_the_command_line_reports_a_wrong_factory_with_the_call_to_write(refused):
    message = refused("fit", "jobs:returns_a_trainer")
    assert "jobs:returns_a_trainer returned a Trainer" in message
    assert "`return Job(trainer, train_loader, valid_loader)`" in message


@pytest.mark.parametrize("loaders", [([1],), ([1], [2])])
def test_a_factory_may_return_a_tuple_of_trainer_and_loaders(loaders):
    trainer = job().trainer
    made = create_job(lambda: (trainer, *loaders), "jobs:f")
    assert made == Job(trainer, *loaders)


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


def test_a_factory_with_a_seed_parameter_receives_the_seed():
    def seeded(seed=0):
        made = job()
        made.trainer.state.notes["seed"] = seed
        return made

    assert create_job(seeded, "jobs:f", seed=7).trainer.state.notes == {"seed": 7}


def test_the_weights_that_a_factory_draws_depend_on_the_seed_and_the_host_draws_as_before():
    before = torch.get_rng_state()
    first, second, third = (
        create_job(job, "jobs:f", seed=seed).trainer.state.model.weight for seed in (7, 7, 8)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert torch.equal(before, torch.get_rng_state())


def test_a_job_knows_its_factory_and_the_arguments():
    made = create_job(lambda lr, seed: job(), "jobs:f", seed=7, given={"lr": 0.1})
    assert made.trainer.state.facts == {"factory": "jobs:f", "arguments": {"seed": 7, "lr": 0.1}}

import pytest
from helpers import trainer_of

from trackside.views.options.strategy_option import attach_strategy, device_of_rank
from trackside.views.output.usage_error import UsageError


def test_a_strategy_without_torchrun_is_refused_with_the_command(refused):
    message = refused("fit", "jobs:job", "--strategy", "ddp")
    assert "torchrun has not started this process" in message
    assert "torchrun --nproc-per-node 2 -m trackside fit" in message


def test_the_device_of_a_rank_is_the_gpu_of_its_number_on_its_machine(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device_of_rank("cuda", "ddp") == "cuda:3"
    assert device_of_rank("cuda:1", "ddp") == "cuda:1"
    assert device_of_rank("cuda", None) == "cuda"
    assert device_of_rank(None, "ddp") is None


def test_a_job_that_cannot_be_distributed_is_refused_in_one_line(monkeypatch):
    for name, value in {"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"--strategy ddp: Distributed cannot be attached: .*RANK"):
        attach_strategy(trainer_of(), "ddp")

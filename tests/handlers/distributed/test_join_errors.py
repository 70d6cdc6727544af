"""Why a process cannot join the others, as its user is told; real processes, each alone."""

import os
import socket
import sys
from pathlib import Path

import pytest
from forked import Forked

ROOT = Path(__file__).parents[3]
SCRIPT = """
import torch
from torch import nn
from trackside import Distributed, Trainer
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
trainer = Trainer(model, nn.MSELoss(), optimizer, [Distributed(timeout=5)])
try:
    trainer.fit([(torch.ones(2, 2), torch.ones(2, 1))])
except RuntimeError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = free.getsockname()[1]
    return str(found)


@pytest.fixture
def taken():
    """A port at which another program listens, which answers nobody."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield str(other.getsockname()[1])


def ended(rank, port, **environment):
    """The error of a rank of two that the other one does not help."""
    own = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", **own, **environment}
    with Forked([sys.executable, "-c", SCRIPT], env=environment, stdout=-1, text=True) as process:
        try:
            return process.communicate(timeout=120)[0]
        finally:
            process.kill()


def test_rank_0_says_that_its_port_is_taken(taken):
    error = ended(0, taken)
    assert error.startswith("RuntimeError: rank 0 of 2 cannot join the process group: port ")
    assert f"port {taken} is taken by another program" in error


def test_a_rank_whose_port_is_that_of_another_program_does_not_wait_for_ever(taken):
    error = ended(1, taken)
    assert error.startswith("PeerError: rank 1 of 2 cannot join the process group: 127.0.0.1:")
    assert "or the port is that of another program" in error


def test_a_rank_says_that_nobody_answers(port):
    error = ended(1, port)
    assert error.startswith(
        f"PeerError: rank 1 of 2 cannot join the process group: 127.0.0.1:{port}"
    )
    assert "does not answer: rank 0 has not been started, has ended" in error


def test_a_rank_says_that_the_address_is_none(port):
    error = ended(1, port, MASTER_ADDR="nosuch.invalid")
    assert "MASTER_ADDR=nosuch.invalid has no network address" in error
    assert error.startswith("RuntimeError: rank 1 of 2")


def test_rank_0_says_that_the_others_have_not_come(port):
    error = ended(0, port)
    assert error.startswith("PeerError: not all of the 2 ranks have come to the begin of this run")


def test_a_rank_says_that_its_interface_is_none(port):
    other = {"GLOO_SOCKET_IFNAME": "nosuch0"}
    environment = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with Forked(
        [sys.executable, "-c", SCRIPT], env={**os.environ, **environment, **other}, stdout=-1
    ) as peer:
        try:
            error = ended(0, port, **other)
        finally:
            peer.kill()
    assert error.startswith(
        "RuntimeError: rank 0 of 2 cannot join the process group: gloo finds no"
    )
    assert "GLOO_SOCKET_IFNAME=nosuch0" in error
    assert "there are lo" in error

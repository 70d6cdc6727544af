"""Why a process cannot join the others, as its user is told; real processes, without a peer."""

import os
import socket
import sys
from contextlib import ExitStack

import pytest
from forked import Forked

SCRIPT = """
import sys
import torch
from torch import nn
from trackside import Distributed, Trainer
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
trainer = Trainer(model, nn.MSELoss(), optimizer, [Distributed(timeout=int(sys.argv[1]))])
try:
    trainer.fit([(torch.ones(2, 2), torch.ones(2, 1))])
except RuntimeError as error:
    print(f"{type(error).__name__}: {error}")
"""
NO_INTERFACE = {"GLOO_SOCKET_IFNAME": "nosuch0"}
CASES = {
    "port taken": (0, {}, 5),
    "port of another program": (1, {}, 5),
    "nobody answers": (1, {}, 5),
    "no address": (1, {"MASTER_ADDR": "nosuch.invalid"}, 5),
    "the others have not come": (0, {}, 5),
    "no interface": (0, NO_INTERFACE, 60),
}
"""Each a rank of two that the other one does not help, its environment, and its timeout.

Only where there is no interface does a rank fail after the other one has come, so it has a minute.
"""


def started(rank, environment, seconds, port):
    own = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", **own, **environment}
    words = [sys.executable, "-c", SCRIPT, str(seconds)]
    return Forked(words, env=environment, stdout=-1, text=True)


@pytest.fixture(scope="module")
def ports():
    """A port for each; at those of other programs somebody listens, who answers nobody.

    Only a rank 0 needs a free one: the others are kept, so that nobody else takes them.
    """
    with ExitStack() as opened:
        others = {case: opened.enter_context(socket.socket()) for case in CASES}
        for other in others.values():
            other.bind(("127.0.0.1", 0))
        found = {case: str(other.getsockname()[1]) for case, other in others.items()}
        for case, other in others.items():
            if case in ("port taken", "port of another program"):
                other.listen()
            elif CASES[case][0] == 0:
                other.close()
        yield found


@pytest.fixture(scope="module")
def errors(ports):
    """What each process says; they wait side by side, the longest for four times five seconds."""
    with ExitStack() as running:
        processes = {
            case: running.enter_context(started(*arguments, ports[case]))
            for case, arguments in CASES.items()
        }
        peer = running.enter_context(started(1, NO_INTERFACE, 60, ports["no interface"]))
        for process in (peer, *processes.values()):
            running.callback(process.kill)
        yield {case: process.communicate(timeout=120)[0] for case, process in processes.items()}


def test_rank_0_says_that_its_port_is_taken(errors, ports):
    error, port = errors["port taken"], ports["port taken"]
    assert error.startswith("RuntimeError: rank 0 of 2 cannot join the process group: port ")
    assert f"port {port} is taken by another program" in error


def test_a_rank_whose_port_is_that_of_another_program_does_not_wait_for_ever(errors):
    error = errors["port of another program"]
    assert error.startswith("PeerError: rank 1 of 2 cannot join the process group: 127.0.0.1:")
    assert "or the port is that of another program" in error


def test_a_rank_says_that_nobody_answers(errors, ports):
    error, port = errors["nobody answers"], ports["nobody answers"]
    assert error.startswith(
        f"PeerError: rank 1 of 2 cannot join the process group: 127.0.0.1:{port}"
    )
    assert "does not answer: rank 0 has not been started, has ended" in error


def test_a_rank_says_that_the_address_is_none(errors):
    error = errors["no address"]
    assert "MASTER_ADDR=nosuch.invalid has no network address" in error
    assert error.startswith("RuntimeError: rank 1 of 2")


def test_rank_0_says_that_the_others_have_not_come(errors):
    error = errors["the others have not come"]
    assert error.startswith("PeerError: not all of the 2 ranks have come to the begin of this run")


def test_a_rank_says_that_its_interface_is_none(errors):
    error = errors["no interface"]
    assert error.startswith(
        "RuntimeError: rank 0 of 2 cannot join the process group: gloo finds no"
    )
    assert "GLOO_SOCKET_IFNAME=nosuch0" in error
    assert "there are lo" in error

"""A fit of two ranks that torchrun has started, each with a Recorder; rank 1 is slow.

`launched(folder)` is the process. In a handler rank 1 waits in each training batch until rank 0 is
in a vote, and in batch 6 of the first epoch until `go_on(folder)` is called.
"""

import contextlib
import os
import sys
from pathlib import Path

import torch
from forked import WITH_TEST_HELPERS, Forked
from torch import nn
from torch.utils.data import TensorDataset
from watched import wait_until

from trackside import Distributed, KeyedLoader, Recorder, Trainer
from trackside.views import Recording, compare_ranks, status


class Slow:
    """Keeps rank 0 waiting."""

    def __init__(self, folder):
        self.folder = folder

    def after_loss(self, trainer, state):
        if state.rank == 0 or not state.training:
            return
        with Recording(self.folder / "run.rank0.loop") as other:
            wait_until(lambda: status(other).waits)
        if (state.epoch, state.batch_index) == (0, 6):
            wait_until((self.folder / "go on").exists)


def train(folder):
    """What each rank does."""
    torch.manual_seed(3)
    model = nn.Linear(5, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(folder / "run.loop", timing=True, name="mlp")
    trainer = Trainer(model, nn.MSELoss(), optimizer, [Slow(folder), Distributed(), recorder])
    trainer.fit(KeyedLoader(TensorDataset(torch.ones(80, 5), torch.ones(80, 2)), 4), epochs=2)


def recordings_of(folder):
    """The recordings of both ranks."""
    return [Recording(folder / f"run.rank{rank}.loop") for rank in range(2)]


def stands_still(folder):
    """Whether rank 1 is seen to stand still."""
    if not all((folder / f"run.rank{rank}.loop").exists() for rank in range(2)):
        return False
    with contextlib.ExitStack() as opened:
        ranks = [opened.enter_context(one) for one in recordings_of(folder)]
        return [one.rank for one in compare_ranks(ranks).culprits] == [1]


def go_on(folder):
    """Let rank 1 go on to the end of the fit."""
    (folder / "go on").touch()


@contextlib.contextmanager
def launched(folder):
    """The running torchrun."""
    options = ["--standalone", "--nproc-per-node=2"]
    paths = [WITH_TEST_HELPERS["PYTHONPATH"], str(Path(__file__).parents[1])]
    environment = {
        **WITH_TEST_HELPERS,
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    command = [sys.executable, "-m", "torch.distributed.run", *options, __file__, str(folder)]
    with Forked(command, env=environment) as process:
        try:
            yield process
        finally:
            go_on(folder)
            process.terminate()


if __name__ == "__main__":
    train(Path(sys.argv[1]))

"""Factories of jobs for the tests of studies, which other processes import."""

import os
import signal
from pathlib import Path

import torch
from torch import nn

from trackside import GradientClip, Job, Metrics, Trainer


class Noise:
    """Draws from all that a loader draws from, and changes the inputs."""

    def begin_batch(self, trainer, state):
        state.xb = state.xb + 0.1 * torch.randn_like(state.xb)


class Halves:
    def after_loss(self, trainer, state):
        state.loss = state.loss / 2


class Seen:
    """Keeps the first input of each training batch."""

    def __init__(self):
        self.inputs = []

    def wrap_forward(self, forward):
        def keep(state):
            if state.training:
                self.inputs.append(state.batch[0][:, 0].tolist())
            return forward(state)

        return keep


def job(lr=0.1, *handlers, dies_in=None, seed=0):
    if seed == 1 and "STUDIED_STANDS" in os.environ:
        signal.pause()  # until it is killed
    data = torch.utils.data.DataLoader(_data(), 4, shuffle=True)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    own = handlers or (Noise(), Halves(), GradientClip(0.1), Metrics())
    if dies_in is not None:
        own = (Dies(dies_in), *own)
    return Job(Trainer(model, nn.CrossEntropyLoss(), optimizer, own), data, data, epochs=2)


def with_secret(api_key=""):
    return job(0.1, GradientClip(0.1), Metrics())


class Needs:
    requires = ("Halves",)

    def after_loss(self, trainer, state):
        pass


def needs_another():
    return job(0.1, Needs(), Metrics())


def ends():
    raise SystemExit("a factory that ends its process")


def _data():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(4, generator=generator), torch.tensor(n % 2)) for n in range(24)]


class Dies:
    """Kills its process, at the first time or each time."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def begin_fit(self, trainer, state):
        mark = self.folder / "died"
        if not mark.exists() or state.seed == 13:
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

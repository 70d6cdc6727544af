"""A fit in a process of its own that says where it is, and waits there for a signal."""

import os
import time

import torch
from torch import nn
from torch.utils.data import Dataset

from trackside.engine import KeyedLoader, Trainer
from trackside.handlers import Checkpoint, Compile, History, Metrics, Preemption

EPOCHS = 3


class Data(Dataset):
    """Noise that is drawn; at one index it may wait."""

    def __init__(self, wait=None):
        self.wait = wait

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if self.wait is not None and index == 13:
            self.wait()
        return torch.randn(5) + index / 20, index % 3


class Waits:
    """Once, when a certain batch has been seen, waits in the middle of it."""

    def __init__(self, training, wait):
        self.training, self.wait = training, wait

    def after_loss(self, trainer, state):
        if state.epoch == 1 and state.batch_index == 2 and state.training is self.training:
            self.wait()


def built(folder, *handlers, wait_in_fetch=None, workers=0):
    """A trainer, its two loaders, and its Preemption."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    preemption = Preemption()
    saving = (Checkpoint(folder, epochs=100), preemption)
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optimizer, [Metrics(), History(), *handlers, *saving]
    )
    train = KeyedLoader(Data(wait_in_fetch), 4, shuffle=True, num_workers=workers)
    return trainer, train, KeyedLoader(Data(), 4), preemption


def undisturbed(folder):
    """The weights of a fit that nobody stops, by name."""
    trainer, train, valid, _ = built(folder)
    trainer.fit(train, valid, epochs=EPOCHS)
    return trainer.state.model.state_dict()


def resumed(folder, *handlers):
    """The weights of one that goes on from what was saved."""
    trainer, train, valid, _ = built(folder, *handlers)
    torch.manual_seed(4711)
    trainer.fit(train, valid, resume=folder)
    return trainer.state.model.state_dict()


def fit(folder, place):
    """Fit, and wait for a signal at one place; `here` is made there, `closed` by after_fit."""
    once = []

    def wait():
        if once or (folder / "here").exists():
            return
        once.append(True)
        (folder / "here").touch()
        patience = time.monotonic() + 300
        while preemption.received is None and time.monotonic() < patience:
            time.sleep(0.01)

    handlers = []
    if place in ("training", "validating"):
        handlers = [Waits(place == "training", wait)]
    if place == "compiling":
        handlers = [Compile(backend=lambda graph, inputs: (wait(), graph.forward)[1])]
    in_fetch = wait if place == "fetching" else None
    trainer, train, valid, preemption = built(folder / "runs", *handlers, wait_in_fetch=in_fetch)
    trainer.on("after_fit")(lambda trainer, state: (folder / "closed").write_text(state.outcome))
    trainer.fit(train, valid, epochs=EPOCHS)


def fit_with_workers(folder):
    """Fit with a loader whose workers are of the same process group, and get the same signal."""
    os.setpgrp()
    trainer, train, valid, preemption = built(folder / "runs", workers=2)

    def wait(trainer, state):
        if state.epoch == 1 and state.batch_index == 2 and state.training:
            (folder / "here").touch()
            patience = time.monotonic() + 300
            while preemption.received is None and time.monotonic() < patience:
                time.sleep(0.01)
            time.sleep(0.5)  # the workers die meanwhile; if they die later, that is no harm

    trainer.on("after_loss")(wait)
    trainer.fit(train, valid, epochs=EPOCHS)

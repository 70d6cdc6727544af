"""A fit of scikit-learn's digits for a process that is killed: everything that a fit can hold."""

import os
import random

import torch
from crash import killing
from faults import Files
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset

from trackside.engine import KeyedLoader, NoCheckpointError, Trainer, latest
from trackside.handlers import (
    EMA,
    Checkpoint,
    EarlyStopping,
    GradientAccumulation,
    GradientClip,
    History,
    Metrics,
    MixedPrecision,
    MixUp,
    OneCycle,
)

EPOCHS = 5


class Noisy(Dataset):
    """Digits with noise, from the generators of torch and of Python."""

    def __init__(self, images, digits, noise):
        self.images, self.digits, self.noise = images, digits, noise

    def __len__(self):
        return len(self.digits)

    def __getitem__(self, index):
        noise = self.noise * (torch.randn(64) + random.random())
        return self.images[index] + noise, self.digits[index]


def telling(path, checkpoint):
    """Writes the name of each checkpoint that is safe to a file, before the next batch begins."""
    told = []

    def tell(trainer, state):
        if checkpoint.last is not None and checkpoint.last not in told[-1:]:
            told.append(checkpoint.last)
            with path.open("a") as file:
                print(checkpoint.last.name, file=file)

    return tell


def built(folder, async_save, workers, told):
    """The trainer, its two loaders, and its history."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, digits = load_digits(return_X_y=True)
    images, digits = torch.tensor(images / 16).float(), torch.tensor(digits)
    train = Noisy(images[:600], digits[:600], 0.1)
    valid = Noisy(images[600:800], digits[600:800], 0.0)
    model = nn.Sequential(
        nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    history = History()
    checkpoint = Checkpoint(
        folder, steps=2, epochs=1, metric="valid_loss", keep_last=2, async_save=async_save
    )
    handlers = [
        Metrics(),
        history,
        MixedPrecision(),
        GradientAccumulation(3),
        GradientClip(1.0),
        OneCycle(),
        EMA(0.9),
        MixUp(),
        EarlyStopping(patience=9),
        checkpoint,
    ]
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, handlers)
    trainer.on("begin_batch")(telling(told, checkpoint))
    loaders = (
        KeyedLoader(train, 40, shuffle=True, seed=1, num_workers=workers),
        KeyedLoader(valid, 50),
    )
    return trainer, loaders, history


def fit(folder, async_save=False, workers=0):
    """Begin the fit, or go on with it; at its end, write what came of it."""
    trainer, loaders, history = built(folder / "runs", async_save, workers, folder / "told")
    torch.manual_seed(os.getpid())  # wherever the generators stand, a resume sets them
    random.seed(os.getpid())
    try:
        resume = latest(folder / "runs")
    except NoCheckpointError:
        resume = None
        torch.manual_seed(0)
    trainer.fit(*loaders, epochs=EPOCHS, resume=resume)
    result = {"model": trainer.state.model.state_dict(), "history": history.rows}
    torch.save(result, folder / "result.pt")


def fit_with_a_fault(folder, at, step):
    """The same, killed at one file operation on the checkpoints."""
    with Files(folder / "runs", at, killing(step)):
        fit(folder)


def count_operations(folder):
    """The same, not killed; how many file operations there are is written down."""
    files = Files(folder / "runs")
    with files:
        fit(folder)
    (folder / "operations").write_text(str(len(files.log)))

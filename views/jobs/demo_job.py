"""The job of the demo: a small convolutional network learns scikit-learn's digits."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset, random_split

from ...engine import Trainer
from ...handlers import LRSchedule, Metrics
from ..output.usage_error import UsageError
from .job import Job


class Accuracy:
    """Fraction of predictions `(B, C)` whose largest score is at the target `(B,)`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.correct: torch.Tensor | int = 0
        self.count = 0

    def update(self, pred: torch.Tensor, target: torch.Tensor) -> None:
        self.correct = self.correct + (pred.argmax(1) == target).sum()
        self.count += len(target)

    def compute(self) -> torch.Tensor | float:
        return self.correct / self.count


def digits(seed: int = 0) -> Job:
    """A job that trains on 80 % of the 1797 images and validates on the others.

    The same seed gives the same job; the global random state is not changed.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    generator = torch.Generator().manual_seed(seed)
    train, valid = random_split(_images(), [0.8, 0.2], generator=generator)
    model = _network(seed)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        torch.optim.AdamW(model.parameters()),
        handlers=[Metrics(accuracy=Accuracy()), LRSchedule(_one_cycle)],
    )
    return Job(
        trainer,
        DataLoader(train, batch_size=32, shuffle=True, generator=generator),
        DataLoader(valid, batch_size=256),
        epochs=8,
    )


def _images() -> TensorDataset:
    """Images `(1797, 1, 8, 8) float32`, from 0 to 1, and digits `(1797,) int64`."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise UsageError(
            "the images of the demo need scikit-learn: pip install 'trackside[demo]'"
        ) from None
    images, targets = load_digits(return_X_y=True)
    return TensorDataset(
        torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16,
        torch.tensor(targets),
    )


def _network(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 10),
        )


def _one_cycle(optimizer: Any, total_steps: int) -> OneCycleLR:
    return OneCycleLR(optimizer, max_lr=0.01, total_steps=total_steps)

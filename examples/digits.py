"""Train a small convolutional network on scikit-learn's digits.

    trackside fit examples/digits.py:digits --lr 0.003 --batch-size 64 --out runs/digits

The command calls the function and trains the returned Job: a trainer and its loaders. The
parameters of the function are options of the command; `--help` after the function shows them.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset, random_split

from trackside import GradientClip, Job, LRSchedule, Trainer


def digits(lr: float = 0.01, batch_size: int = 32, device: torch.device | None = None) -> Job:
    """Train on four fifths of the 1797 images, and validate on the rest.

    Args:
        lr: the highest learning rate of the cycle.
        batch_size: examples in a training batch.
        device: that of the option --device.
    """
    images, targets = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    seeded = torch.Generator().manual_seed(0)  # so that all processes make the same split
    train, valid = random_split(TensorDataset(images, torch.tensor(targets)), [0.8, 0.2], seeded)
    model = nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )
    optimizer = torch.optim.AdamW(model.parameters())
    handlers = [
        GradientClip(max_norm=1.0),
        LRSchedule(lambda optimizer, steps: OneCycleLR(optimizer, lr, total_steps=steps)),
    ]
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, handlers, device)
    return Job(
        trainer, DataLoader(train, batch_size, shuffle=True), DataLoader(valid, 256), epochs=8
    )

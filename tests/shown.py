"""Pictures that tests share, and a fit that makes some."""

import torch
from torch import nn

from trackside import Trainer
from trackside.events import Confusion, Example, Examples

CLASSES = ["zero", "one", "<b>two</b>"]


def classified(*handlers, channels=1, edge=8, count=24):
    """A trainer of a small classifier of images, and its batches."""
    torch.manual_seed(0)
    images = torch.rand(count, channels, edge, edge)
    targets = torch.arange(count) % 3
    batches = [(images[i : i + 8], targets[i : i + 8]) for i in range(0, count, 8)]
    model = nn.Sequential(nn.Flatten(), nn.Linear(channels * edge**2, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, handlers=[*handlers]), batches


class Shows:
    """Puts pictures into each epoch."""

    def __init__(self, **pictures):
        self.pictures = pictures

    def after_validate(self, trainer, state):
        state.pictures.update(self.pictures)


TEXTS = Examples((Example("a|b <i>", "yes 90%", "no", False), Example("c", "no", "no", True)))
COUNTS = Confusion(("x", "y"), ((3, 1), (0, 4)))

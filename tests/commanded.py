"""A factory whose parameters the command line sets, and what it was called with."""

from dataclasses import dataclass

import torch
from torch import nn

from trackside import Trainer

CALLS = []


@dataclass
class Update:
    momentum: float = 0.0


def job(width: int, lr: float = 0.1, update: Update = Update(), precision: str = "low"):  # noqa: B008
    CALLS.append((width, lr, update.momentum, precision))
    model = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=update.momentum)
    batches = [(torch.ones(2, 4), torch.ones(2, 1))] * 3
    return Trainer(model, nn.MSELoss(), optimizer), batches, batches

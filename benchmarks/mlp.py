"""The work that lays overhead bare: a 32-64-10 MLP at batch 32, and the loop as written by hand."""

from __future__ import annotations

import torch
from torch import nn

Batch = tuple[torch.Tensor, torch.Tensor]


def batches(count: int) -> list[Batch]:
    return [(torch.randn(32, 32), torch.randint(0, 10, (32,))) for _ in range(count)]


def mlp() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
    return model, torch.optim.SGD(model.parameters(), lr=0.01)


class BareLoop:
    """The loop as one writes it by hand, a stretch of batches at a time."""

    def __init__(self) -> None:
        self.model, self.optimizer = mlp()
        self.loss_fn = nn.CrossEntropyLoss()

    def run(self, data: list[Batch]) -> None:
        model, loss_fn, optimizer = self.model, self.loss_fn, self.optimizer
        for xb, yb in data:
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

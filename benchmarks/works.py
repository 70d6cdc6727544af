"""The three works on which the contenders are measured.

mlp:          32-64-10 perceptron, batch 32, SGD: a fifth of a millisecond, so overhead is visible
convnet:      two convolutions on scikit-learn's digits, batch 64, Adam: a small real job
transformer:  4 layers of width 128 on 64 tokens, batch 8, AdamW: tens of milliseconds a step
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

Batch = tuple[torch.Tensor, torch.Tensor]
Optimizer = torch.optim.Optimizer


@dataclass(frozen=True)
class Work:
    """A model, its optimizer and its batches, the same in every process."""

    model: Callable[[], nn.Module]
    optimizer: Callable[[nn.Module], Optimizer]
    batches: Callable[[int], list[Batch]]
    stretch: int
    """Number of batches that are timed together."""
    stretches: int
    """Number of stretches in a round."""


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))


def vectors(count: int) -> list[Batch]:
    return [(torch.randn(32, 32), torch.randint(0, 10, (32,))) for _ in range(count)]


def convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


def digits(count: int) -> list[Batch]:
    """Load the file of `write_digits`: only the first environment needs scikit-learn."""
    images, targets = torch.load(DIGITS)
    order = torch.randperm(len(images)).split(64)
    full = [part for part in order if len(part) == 64]
    return [(images[part], targets[part]) for part in (full[n % len(full)] for n in range(count))]


def write_digits() -> None:
    from sklearn.datasets import load_digits  # noqa: PLC0415

    images, targets = load_digits(return_X_y=True)
    DIGITS.parent.mkdir(exist_ok=True)
    torch.save((torch.tensor(images / 16).float().view(-1, 1, 8, 8), torch.tensor(targets)), DIGITS)


class Transformer(nn.Module):
    """Classifies sequences of 64 tokens out of 256."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
        self.tokens = nn.Embedding(256, 128)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(128, 10)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.tokens(tokens)).mean(1))


def sentences(count: int) -> list[Batch]:
    return [(torch.randint(0, 256, (8, 64)), torch.randint(0, 10, (8,))) for _ in range(count)]


DIGITS = Path(__file__).parents[1] / ".peers" / "digits.pt"
WORKS = {
    "mlp": Work(mlp, lambda m: torch.optim.SGD(m.parameters(), 0.01), vectors, 40, 25),
    "convnet": Work(convnet, lambda m: torch.optim.Adam(m.parameters(), 1e-3), digits, 20, 10),
    "transformer": Work(
        Transformer, lambda m: torch.optim.AdamW(m.parameters(), 1e-3), sentences, 5, 16
    ),
}


if __name__ == "__main__":
    write_digits()

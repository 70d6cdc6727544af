"""The works of `epoch.py`: datasets as people have them, with a model for each.

mlp:      8,192 rows of 32 numbers in memory, batch 32, SGD
convnet:  scikit-learn's digits in memory, eight times over, batch 64, Adam
images:   512 PNG files of the digits, decoded and augmented by two workers, batch 32, Adam
text:     Python's own documentation as bytes, windows of 64 by `__getitem__`, batch 16, AdamW
"""

from __future__ import annotations

import pydoc_data.topics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from works import DIGITS, Optimizer, convnet, mlp

FOLDER = DIGITS.parent / "images"
FILES = 512
WINDOW = 64


@dataclass(frozen=True)
class EpochWork:
    """A dataset, a model and its optimizer, the same in every process."""

    dataset: Callable[[], Dataset[Any]]
    model: Callable[[], nn.Module]
    optimizer: Callable[[nn.Module], Optimizer]
    batch_size: int
    workers: int = 0


def rows() -> TensorDataset:
    return TensorDataset(torch.randn(8192, 32), torch.randint(0, 10, (8192,)))


def digits() -> TensorDataset:
    images, targets = torch.load(DIGITS)
    return TensorDataset(images.repeat(8, 1, 1, 1), targets.repeat(8))


class ImageFiles(Dataset[Any]):
    """A folder of PNG files whose names begin with their class."""

    def __init__(self) -> None:
        self.paths = sorted(FOLDER.glob("*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image  # noqa: PLC0415  # only this work needs it

        path = self.paths[index]
        with Image.open(path) as image:
            turned = image.convert("L").rotate(float(torch.empty(1).uniform_(-15, 15)))
        pixels = torch.from_numpy(numpy.asarray(turned, dtype=numpy.float32) / 255)
        return pixels[None], int(path.name[0])


def write_images(folder: Path = FOLDER) -> None:
    """Write the files of `ImageFiles`, 64 × 64 pixels each."""
    from PIL import Image  # noqa: PLC0415

    images, targets = torch.load(DIGITS)
    folder.mkdir(exist_ok=True)
    for number in range(FILES):
        pixels = (images[number, 0] * 255).byte().numpy()
        large = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
        large.save(folder / f"{int(targets[number])}-{number:04}.png")


def image_net() -> nn.Module:
    return nn.Sequential(
        nn.AvgPool2d(4), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 10)
    )


class Windows(Dataset[Any]):
    """Windows of a text, as its bytes; the target is the byte that follows."""

    def __init__(self) -> None:
        text = "".join(pydoc_data.topics.topics.values()).encode()[: 1024 * WINDOW + 1]
        self.tokens = torch.tensor(list(text))

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // WINDOW

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        begin = index * WINDOW
        return self.tokens[begin : begin + WINDOW], self.tokens[begin + WINDOW]


class NextByte(nn.Module):
    """A small transformer that predicts the byte after a window."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
        self.tokens = nn.Embedding(256, 64)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 256)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.tokens(tokens))[:, -1])


EPOCH_WORKS = {
    "mlp": EpochWork(rows, mlp, lambda m: torch.optim.SGD(m.parameters(), 0.01), 32),
    "convnet": EpochWork(digits, convnet, lambda m: torch.optim.Adam(m.parameters(), 1e-3), 64),
    "images": EpochWork(
        ImageFiles, image_net, lambda m: torch.optim.Adam(m.parameters(), 1e-3), 32, workers=2
    ),
    "text": EpochWork(Windows, NextByte, lambda m: torch.optim.AdamW(m.parameters(), 1e-3), 16),
}


if __name__ == "__main__":
    write_images()

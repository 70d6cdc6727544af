"""Train a language model on Python's own documentation, counted in steps, not in epochs.

    trackside fit examples/language_model.py:job
    python examples/language_model.py

The text is an endless stream of bytes, packed into batches. A step is two batches, in bfloat16;
the rate warms up, and falls along a cosine to the end of the fit, at a number of steps or of
tokens; every EVERY steps the loss on the last part of the text is reported, and becomes a row of
the history.
"""

from collections.abc import Iterator
from itertools import cycle
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trackside import (
    CosineWarmup,
    GradientAccumulation,
    History,
    Job,
    Metrics,
    MixedPrecision,
    StepLimit,
    TokenLimit,
    Trainer,
    ValidateEvery,
)
from trackside.engine import SUPERVISED

STEPS, TOKENS = 200, 250_000  # the fit ends with the first of the two
EVERY, ACCUMULATED = 50, 2
BATCH, LENGTH = 8, 64  # sequences, and the bytes in each

Batch = tuple[Tensor, Tensor]


class Packed:
    """Yields batches of bytes `(BATCH, LENGTH) int64` and of those that follow, without an end."""

    def __init__(self, codes: Tensor) -> None:
        self.batches = codes[: len(codes) // (BATCH * LENGTH + 1) * (BATCH * LENGTH + 1)]

    def __iter__(self) -> Iterator[Batch]:
        for part in cycle(torch.split(self.batches, BATCH * LENGTH + 1)):
            yield part[:-1].reshape(BATCH, LENGTH), part[1:].reshape(BATCH, LENGTH)


class Network(nn.Module):
    """Predicts the next of 256 bytes, `(B, T, 256)`, from those so far, `(B, T)`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(256, 64), nn.Embedding(LENGTH, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.read_out = nn.Linear(64, 256)
        self.register_buffer("mask", torch.ones(LENGTH, LENGTH).triu(1).bool())

    def forward(self, codes: Tensor) -> Tensor:
        mask = self.get_buffer("mask")
        hidden = self.layers(self.embed(codes) + self.place.weight, mask, is_causal=True)
        logits: Tensor = self.read_out(hidden)
        return logits


def loss_of(logits: Tensor, codes: Tensor) -> Tensor:
    """The mean cross entropy of a byte."""
    return cross_entropy(logits.flatten(0, 1), codes.flatten())


def texts() -> tuple[Packed, list[Batch]]:
    """The stream for training, and four batches for validation."""
    codes = torch.tensor(list(" ".join(topics.values()).encode()))
    held_out = 4 * (BATCH * LENGTH + 1)
    valid = [batch for batch, _ in zip(Packed(codes[-held_out:]), range(4), strict=False)]
    return Packed(codes[:-held_out]), valid


def job() -> Job:
    """The network, and the stream of the documentation."""
    torch.manual_seed(0)
    train, valid = texts()
    model = Network()
    trainer = Trainer(
        model,
        loss_of,
        torch.optim.AdamW(model.parameters(), lr=2e-3),
        [
            StepLimit(STEPS),
            TokenLimit(TOKENS),
            GradientAccumulation(ACCUMULATED),
            MixedPrecision(),
            CosineWarmup(),
            ValidateEvery(steps=EVERY),
            Metrics(),
            History(),
        ],
        chart=SUPERVISED.without("epoch"),
    )
    return Job(trainer, train, valid)


if __name__ == "__main__":
    todo = job()
    print(todo.trainer.fit(todo.train_loader, todo.valid_loader).metrics)

"""The cost of a batch's data: `python benchmarks/loading.py`.

`KeyedLoader` beside torch's `DataLoader` on the same dataset, and beside plain indexing of the same
tensors, shuffled, without workers. The two of a row take turns in one process, an epoch each, in
CPU time; the figures are medians over the rounds. On a noisy machine, trust the ratios.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import torch
from machine import described
from torch.utils.data import DataLoader, Dataset, TensorDataset

from trackside.engine import KeyedLoader

X, Y = torch.randn(8192, 64), torch.randint(0, 10, (8192,))


class Rows(Dataset[Any]):
    """The rows of the tensors, by a `__getitem__` of a user's."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        return X[index], Y[index]


class NoisyRows(Rows):
    """With a random number of Python's global generator."""

    def __getitem__(self, index: int) -> Any:
        return X[index] + random.random(), Y[index]


class OwnNoise(NoisyRows):
    """With a random number of the generator that it is given."""

    def random_getitem(self, index: int, generators: Any) -> Any:
        return X[index] + generators.python.random(), Y[index]


class Indexed:
    """What a hand-written loop does with tensors."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[Any]:
        order = torch.randperm(len(X))
        for start in range(0, len(X), self.size):
            rows = order[start : start + self.size]
            yield X[rows], Y[rows]


def pairs() -> dict[str, tuple[Iterable[Any], Iterable[Any]]]:
    """Ours and what stands beside it, by the name of the row."""
    tensors = TensorDataset(X, Y)
    return {
        "tensors, 32, beside DataLoader": beside_torch(tensors),
        "tensors, 32, beside indexing": (KeyedLoader(tensors, 32, True), Indexed(32)),
        "tensors, 4096, beside indexing": (KeyedLoader(tensors, 4096, True), Indexed(4096)),
        "__getitem__, 32, beside DataLoader": beside_torch(Rows()),
        "__getitem__ that draws, 32, beside DataLoader": beside_torch(NoisyRows()),
        "random_getitem, 32, beside DataLoader": beside_torch(OwnNoise()),
    }


def beside_torch(dataset: Dataset[Any]) -> tuple[Iterable[Any], Iterable[Any]]:
    """The two loaders of a dataset."""
    return KeyedLoader(dataset, 32, True), DataLoader(dataset, 32, True)


def batch_cost(loader: Iterable[Any]) -> float:
    """CPU time of a batch of one epoch, in µs."""
    start = process_time()
    batches = sum(1 for _ in loader)
    return (process_time() - start) / batches * 1e6


def measured(ours: Iterable[Any], other: Iterable[Any], rounds: int) -> dict[str, float]:
    """Median cost of a batch of each, and of their ratio."""
    costs = [(batch_cost(ours), batch_cost(other)) for _ in range(rounds)]
    median: Callable[[Iterable[float]], float] = statistics.median
    return {
        "ours": round(median(a for a, _ in costs), 1),
        "other": round(median(b for _, b in costs), 1),
        "ratio": round(median(a / b for a, b in costs), 3),
    }


def main() -> None:
    """Measure, print and, if asked, write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {name: measured(*pair, options.rounds) for name, pair in pairs().items()}
    for name, row in rows.items():
        print(f"{name:46} {row['ours']:8.1f} µs {row['other']:8.1f} µs   × {row['ratio']:.2f}")
    if options.json:
        found = {"machine": described(), "torch": torch.__version__, "rows": rows}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

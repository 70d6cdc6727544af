"""The cost of a batch's data: `python benchmarks/loading.py`.

`KeyedLoader` beside torch's `DataLoader` on the same dataset, and beside plain indexing of the same
tensors, shuffled. The two of a row take turns in one process, an epoch each, in CPU time; with
worker processes, in time by the wall. The figures are medians over the rounds. On a noisy machine,
trust the ratios. `results/loading.json` has the figures of the last run, `--write`.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy
import torch
from machine import described
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from trackside.engine import KeyedLoader

RESULTS = Path(__file__).with_name("results") / "loading.json"
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


class AllNoise(Rows):
    """With random numbers of all three global generators."""

    def __getitem__(self, index: int) -> Any:
        return X[index] + random.random() + numpy.random.rand() + torch.rand(()), Y[index]


class Images(Dataset[Any]):
    """JPEG images of 224 × 224, decoded, cropped and mirrored at random."""

    def __init__(self, count: int = 256) -> None:
        pixels = numpy.random.default_rng(0).integers(0, 255, (count, 28, 28, 3), numpy.uint8)
        self.files = [self.encoded(image) for image in pixels]

    @staticmethod
    def encoded(pixels: Any) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).resize((224, 224)).save(file, "JPEG")
        return file.getvalue()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        image = Image.open(io.BytesIO(self.files[index])).convert("RGB")
        left, top = random.randrange(32), random.randrange(32)
        pixels = numpy.array(image.crop((left, top, left + 192, top + 192)))
        x = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        return (x.flip(2) if torch.rand(()) < 0.5 else x), index % 10


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
        "__getitem__ that draws from all, 32, beside DataLoader": beside_torch(AllNoise()),
        "random_getitem, 32, beside DataLoader": beside_torch(OwnNoise()),
    }


def with_workers() -> tuple[Iterable[Any], Iterable[Any]]:
    """The two loaders of the images, with two worker processes each."""
    data, options = Images(), {"num_workers": 2, "persistent_workers": True}
    return KeyedLoader(data, 32, True, **options), DataLoader(data, 32, True, **options)


def beside_torch(dataset: Dataset[Any]) -> tuple[Iterable[Any], Iterable[Any]]:
    """The two loaders of a dataset."""
    return KeyedLoader(dataset, 32, True), DataLoader(dataset, 32, True)


def batch_cost(loader: Iterable[Any], clock: Callable[[], float]) -> float:
    """Time of a batch of one epoch, in µs."""
    start = clock()
    batches = sum(1 for _ in loader)
    return (clock() - start) / batches * 1e6


def measured(
    ours: Iterable[Any],
    other: Iterable[Any],
    rounds: int,
    clock: Callable[[], float] = process_time,
) -> dict[str, float]:
    """Median cost of a batch of each, and of their ratio."""
    batch_cost(ours, clock), batch_cost(other, clock)  # workers start, generators are known
    costs = [(batch_cost(ours, clock), batch_cost(other, clock)) for _ in range(rounds)]
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
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {name: measured(*pair, options.rounds) for name, pair in pairs().items()}
    images = measured(*with_workers(), options.rounds, perf_counter)
    rows["images, 32, 2 workers, beside DataLoader"] = images
    for name, row in rows.items():
        print(f"{name:55} {row['ours']:8.1f} µs {row['other']:8.1f} µs   × {row['ratio']:.2f}")
    if options.write:
        found = {"machine": described(), "torch": torch.__version__, "rows": rows}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""How the cost of a training batch grows: `python benchmarks/scaling.py`, or `make bench`.

Three curves with empty activities, so that only the engine is measured: against the number of
handlers (1 to 1 000), of batches in a fit (1 000 to 1 000 000), and of trainers that alternate in
one thread (1 to 100). The slope of a curve is the exponent b of `total = a · nᵇ`, fitted to all its
points: 1 is linear, more is superlinear. Writes `results/scaling.json`.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Callable
from time import process_time
from typing import Any

from environments import HERE
from machine import described
from overhead import MLP, empty_trainer, seconds_a_batch

from trackside.engine import Trainer

Trainer.verbose = False  # a bar takes time

RESULTS = HERE / "results" / "scaling.json"
ROUNDS = 3
HANDLERS = (1, 3, 10, 30, 100, 300, 1_000)
BATCHES = (1_000, 10_000, 100_000, 1_000_000)
TRAINERS = (1, 3, 10, 30, 100)


class Counter:
    """A handler that does almost nothing."""

    def __init__(self) -> None:
        self.heard = 0

    def after_batch(self, trainer: Trainer, state: Any) -> None:
        self.heard += 1


def with_handlers(count: int) -> float:
    """µs per batch."""
    trainer = empty_trainer()
    for _ in range(count):
        trainer.attach(Counter())
    return seconds_a_batch(trainer, max(200, 20_000 // count)) * 1e6


def with_batches(count: int) -> float:
    """µs per batch."""
    return seconds_a_batch(empty_trainer(), count) * 1e6


def with_trainers(count: int) -> float:
    """µs per batch and trainer, when the trainers alternate after every transition."""
    batches = max(300, 2_000 // count)  # so that the start and end of a run hardly matter
    data = list(itertools.repeat(MLP.batches(1)[0], batches))
    runs = [empty_trainer().steps(data) for _ in range(count)]
    for run in runs:
        next(run)  # compiles its table
    start = process_time()
    for _ in zip(*runs, strict=True):
        pass
    return (process_time() - start) / (batches * count) * 1e6


def curve(cost: Callable[[int], float], counts: tuple[int, ...], grows: bool) -> dict[str, Any]:
    """µs per batch at each count, and the slope of the total.

    `grows`: whether the cost of one batch is the total; else it is multiplied by the count.
    """
    rounds = [[cost(count) for count in counts] for _ in range(ROUNDS)]
    medians = [statistics.median(values) for values in zip(*rounds, strict=True)]
    totals = [us if grows else us * n for n, us in zip(counts, medians, strict=True)]
    logs = [math.log(n) for n in counts], [math.log(total) for total in totals]
    slope = statistics.linear_regression(*logs).slope
    return {"us_a_batch": dict(zip(counts, medians, strict=True)), "slope": slope}


def main() -> None:
    found = {
        "machine": described(),
        "handlers": curve(with_handlers, HANDLERS, grows=True),
        "batches": curve(with_batches, BATCHES, grows=False),
        "trainers": curve(with_trainers, TRAINERS, grows=False),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    for name in ("handlers", "batches", "trainers"):
        print(f"{name}: slope {found[name]['slope']:.2f}")
        for count, cost in found[name]["us_a_batch"].items():
            print(f"  {count:9} {cost:10.2f} µs a batch")


if __name__ == "__main__":
    main()

"""What agreement costs: `python benchmarks/distributed.py`, on the CPU, over gloo, with 2 ranks.

1. The time of one vote: an all-reduce of 31 integers.
2. A training batch of the trainer with its two votes beside a DistributedDataParallel loop written
   by hand, one after the other in turns; the median of the ratios of wall time.

Both ranks need a core of their own: on a busy machine a vote measures how long a rank waits for its
turn. With `--write` the figures go to `results/distributed.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trackside import Trainer
from trackside.handlers.distributed._control_group import control_group

RESULTS = Path(__file__).with_name("results") / "distributed.json"
RANKS = 2
BALLOT = [0] * 31
VOTES, BATCHES, TURNS = 200, 20, 10
WIDTHS = {"small": 256, "large": 1024}
TIMEOUT = timedelta(seconds=300)


def vote_times() -> list[float]:
    """Microseconds of each vote."""
    with control_group("votes", (), lambda: None, TIMEOUT) as agreement:
        return [_microseconds(lambda: agreement.vote(BALLOT)) for _ in range(VOTES)][20:]


def batch_times(width: int) -> dict[str, list[float]]:
    """Microseconds of a batch, turn by turn: by hand, and by the trainer."""
    data = [(torch.randn(64, width), torch.randn(64, width)) for _ in range(BATCHES)]
    hand, trainer = _by_hand(width), _by_trainer(width)
    times: dict[str, list[float]] = {"by hand": [], "trainer": []}
    with control_group(f"batches of {width}", ("backward",), lambda: None, TIMEOUT) as agreement:
        trainer.agreement = agreement
        for _ in range(TURNS):
            times["by hand"].append(_microseconds(lambda: hand(data)) / BATCHES)
            times["trainer"].append(_microseconds(lambda: trainer.fit(data)) / BATCHES)
    return {name: each[2:] for name, each in times.items()}


def _parts(width: int) -> tuple[Any, nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    return DistributedDataParallel(model), model, torch.optim.SGD(model.parameters(), lr=0.01)


def _by_hand(width: int) -> Callable[[Any], None]:
    wrapped, _, optimizer = _parts(width)
    loss_fn = nn.MSELoss()

    def train(data: Any) -> None:
        for xb, yb in data:
            loss_fn(wrapped(xb), yb).backward()
            optimizer.step()
            optimizer.zero_grad()

    return train


def _by_trainer(width: int) -> Trainer:
    wrapped, _, optimizer = _parts(width)
    return Trainer(wrapped, nn.MSELoss(), optimizer)


def _microseconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e6


def measure(file: Path) -> None:
    """In one rank: write the figures, by rank 0."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=TIMEOUT)
    votes = vote_times()
    batches = {name: batch_times(width) for name, width in WIDTHS.items()}
    if dist.get_rank() == 0:
        file.write_text(json.dumps(summary(votes, batches)), encoding="utf-8")


def launched(file: Path) -> dict[str, Any]:
    """The figures of the processes that torchrun starts."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*command, f"--nproc-per-node={RANKS}", __file__, "--rank-of", file],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )
    figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return figures


def summary(votes: list[float], batches: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Medians, and ratios turn by turn."""
    return {
        "vote_us": round(statistics.median(votes), 1),
        "batches": {
            name: {
                "by_hand_us": round(statistics.median(times["by hand"])),
                "ratio": round(_ratio(times["trainer"], times["by hand"]), 3),
            }
            for name, times in batches.items()
        },
    }


def _ratio(own: list[float], hand: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(own, hand, strict=True))


def main() -> None:
    """Print the figures; with `--write` also to `results/distributed.json`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write results/distributed.json")
    parser.add_argument("--rank-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank_of is not None:
        measure(options.rank_of)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = launched(Path(folder, "figures.json"))
    text = json.dumps(found, indent=1) + "\n"
    print(text, end="")
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

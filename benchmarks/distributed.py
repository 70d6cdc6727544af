"""What agreement costs: `python benchmarks/distributed.py`, on the CPU, over gloo.

1. The time of one vote of 2, 4 and 8 ranks: the maxima of 31 integers; beside it gloo's all-reduce.
2. A training batch on 2 ranks beside a DistributedDataParallel loop written by hand, each with a
   DataLoader that reads its share: that loop once more, which shows the noise; that loop with
   gradients that are views of buckets, as the trainer has them; the trainer with `Distributed`,
   the same with Metrics, and, if they are installed, accelerate, without and with its own
   agreement (`check_trigger`), and Lightning. After every 5 batches of one of them, the loop by
   hand makes 5 in the same processes. The trainer and that loop once more, whose difference is the
   smallest, have four times as many pairs as the others. The median of the ratios of these pairs,
   between which 95 of 100 medians of pairs drawn from them lie, and the quartiles; of wall time,
   and of the processor time of both ranks with all their threads.

Every rank needs a core of its own: on a busy machine a vote measures how long a rank waits for its
turn; the load is in the figures. With `--write` they go to `results/distributed.json`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from distributed_loops import (
    STRETCH,
    ByHand,
    Contender,
    Pair,
    Pairs,
    Times,
    by_trainer,
    peers,
)
from result_files import loaded_machine
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from trackside import Metrics
from trackside.handlers.distributed._control_group import control_group

RESULTS = Path(__file__).with_name("results") / "distributed.json"
RANKS = 2, 4, 8
BALLOT = [0] * 31
VOTES, PAIRS, TURNS = 300, 20, 7
OFTEN = {"by hand again": 4, "trackside": 4}
"""Fits in each turn; one of the other contenders."""
DRAWS = 2000
SIZES = {"3 ms": (256, 32), "10 ms": (512, 112)}
"""The width of the layers, and the examples of a batch of one rank; named by its time."""
TIMEOUT = timedelta(seconds=300)


def vote_times() -> dict[str, list[float]]:
    """Microseconds of each vote, and of each all-reduce of the same numbers."""
    with control_group("votes", (), lambda: None, TIMEOUT) as agreement:
        own = [_microseconds(lambda: _vote(agreement)) for _ in range(VOTES)]
    group = dist.new_group(backend="gloo", timeout=TIMEOUT)
    ring = [_microseconds(lambda: _all_reduce(group)) for _ in range(VOTES)]
    return {"vote": own[20:], "gloo's all-reduce": ring[20:]}


def _vote(agreement: Any) -> Sequence[int]:
    agreement.cast(BALLOT)
    return agreement.result()  # type: ignore[no-any-return]


def _all_reduce(group: Any) -> list[int]:
    numbers = torch.tensor(BALLOT, dtype=torch.int32)
    dist.all_reduce(numbers, dist.ReduceOp.MAX, group=group)
    return numbers.tolist()


def batch_pairs(width: int, size: int) -> dict[str, list[Pair]]:
    """The pairs of each contender, one fit after the other in turns."""
    examples = (PAIRS + 1) * STRETCH * size * dist.get_world_size()
    data = TensorDataset(torch.randn(examples, width), torch.randn(examples, width))
    own = DataLoader(data, size)
    shared = DataLoader(data, size, sampler=DistributedSampler(data, shuffle=False))
    contenders: dict[str, Contender] = {
        "by hand again": ByHand(width, shared),
        "by hand, bucket views": ByHand(width, shared, gradient_as_bucket_view=True),
        "trackside": by_trainer(width, own),
        "trackside with Metrics": by_trainer(width, own, Metrics()),
        **peers(width, shared),
    }
    pairs = {name: Pairs(ByHand(width, shared)) for name in contenders}
    gc.collect()
    gc.freeze()  # a collection of all objects of torch and the peers is the time of many batches
    for _ in range(TURNS):
        for name, train in contenders.items():
            for _ in range(OFTEN.get(name, 1)):
                dist.barrier()
                train(pairs[name])
    return {name: _of_all_ranks(each.found) for name, each in pairs.items()}


def _of_all_ranks(pairs: list[Pair]) -> list[Pair]:
    """The pairs of this rank, with the processor time of all."""
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, [[half.processor for half in pair] for pair in pairs])
    summed = (
        [sum(halves) for halves in zip(*ranks, strict=True)] for ranks in zip(*every, strict=True)
    )
    return [
        (ours._replace(processor=first), theirs._replace(processor=second))
        for (ours, theirs), (first, second) in zip(pairs, summed, strict=True)
    ]


def _microseconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e6


def measure(file: Path) -> None:
    """In one rank: write the figures, by rank 0."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=TIMEOUT)
    found: dict[str, Any] = {"votes": {name: _spread(us) for name, us in vote_times().items()}}
    if dist.get_world_size() == RANKS[0]:
        found["batches"] = {name: _compared(batch_pairs(*size)) for name, size in SIZES.items()}
    if dist.get_rank() == 0:
        file.write_text(json.dumps(found), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()


def launched(ranks: int, folder: str) -> dict[str, Any]:
    """The figures of the processes that torchrun starts."""
    file = Path(folder, f"{ranks}.json")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*command, f"--nproc-per-node={ranks}", __file__, "--rank-of", file],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )
    figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return figures


def _spread(times: list[float]) -> dict[str, int]:
    return {
        "least_us": round(min(times)),
        "tenth_us": round(statistics.quantiles(times, n=10)[0]),
        "median_us": round(statistics.median(times)),
    }


def _compared(found: dict[str, list[Pair]]) -> dict[str, Any]:
    hand = [theirs.wall for pairs in found.values() for _, theirs in pairs]
    return {
        "by_hand_us": round(statistics.median(hand)),
        "pairs": min(map(len, found.values())),
        **{f"{kind}_ratios": _ratios(found, place) for place, kind in enumerate(Times._fields)},
    }


def _ratios(found: dict[str, list[Pair]], place: int) -> dict[str, Any]:
    """For each contender the median of the ratios, what it may be by chance, and the quartiles."""
    ratios = {}
    for name, pairs in found.items():
        each = [ours[place] / theirs[place] for ours, theirs in pairs]
        low, middle, high = (round(r, 3) for r in statistics.quantiles(each, n=4))
        ratios[name] = {"median": middle, "median_95": _certain(each), "quartiles": [low, high]}
    return ratios


def _certain(ratios: list[float]) -> list[float]:
    """Between which of them 95 of 100 medians lie of as many drawn from them, with repetitions."""
    draw = random.Random(0)
    drawn = (statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    ends = statistics.quantiles(drawn, n=40)
    return [round(ends[0], 3), round(ends[-1], 3)]


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
        found: dict[str, Any] = {"machine": loaded_machine()}  # before the ranks are its load
        found["ranks"] = {str(ranks): launched(ranks, folder) for ranks in RANKS}
    text = json.dumps(found, indent=1) + "\n"
    print(text, end="")
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

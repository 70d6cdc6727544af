"""What agreement costs: `python benchmarks/distributed.py`, on the CPU, over gloo.

1. The time of one vote of 2 and of 4 ranks: the maxima of 31 integers; beside it gloo's all-reduce.
2. A training batch on 2 ranks beside a DistributedDataParallel loop written by hand: the trainer
   with its two votes, the trainer without votes, and, if they are installed, accelerate, without
   and with its own agreement (`check_trigger`), and Lightning. One after the other in turns; the
   median of the ratios of wall time, turn by turn.

Every rank needs a core of its own: on a busy machine a vote measures how long a rank waits for its
turn; the load is in the figures. With `--write` they go to `results/distributed.json`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from trackside import Trainer
from trackside.handlers.distributed._control_group import control_group

RESULTS = Path(__file__).with_name("results") / "distributed.json"
RANKS = 2, 4
BALLOT = [0] * 31
VOTES, BATCHES, TURNS = 300, 40, 14
WIDTHS = {"small": 384, "large": 896}
TIMEOUT = timedelta(seconds=300)


Train = Callable[[Any], Any]


def vote_times() -> dict[str, list[float]]:
    """Microseconds of each vote, and of each all-reduce of the same numbers."""
    with control_group("votes", (), lambda: None, TIMEOUT) as agreement:
        own = [_microseconds(lambda: agreement.vote(BALLOT)) for _ in range(VOTES)]
    group = dist.new_group(backend="gloo", timeout=TIMEOUT)
    ring = [_microseconds(lambda: _all_reduce(group)) for _ in range(VOTES)]
    return {"vote": own[20:], "gloo's all-reduce": ring[20:]}


def _all_reduce(group: Any) -> list[int]:
    numbers = torch.tensor(BALLOT, dtype=torch.int32)
    dist.all_reduce(numbers, dist.ReduceOp.MAX, group=group)
    return numbers.tolist()


def batch_times(width: int) -> dict[str, list[float]]:
    """Microseconds of a batch, turn by turn, of each contender."""
    data = [(torch.randn(64, width), torch.randn(64, width)) for _ in range(BATCHES)]
    times: dict[str, list[float]] = {}
    with control_group(f"batches of {width}", ("backward",), lambda: None, TIMEOUT) as agreement:
        contenders = {
            "by hand": _by_hand(width),
            "trackside": _by_trainer(width, agreement),
            "trackside without votes": _by_trainer(width, None),
            **_peers(width),
        }
        names = [*contenders]
        for turn in range(TURNS):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                work = partial(contenders[name], data)
                times.setdefault(name, []).append(_microseconds(work) / BATCHES)
    return {name: each[2:] for name, each in times.items()}


def _parts(width: int) -> tuple[Any, nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    return DistributedDataParallel(model), model, torch.optim.SGD(model.parameters(), lr=0.01)


def _by_hand(width: int) -> Train:
    wrapped, _, optimizer = _parts(width)
    loss_fn = nn.MSELoss()

    def train(data: Any) -> None:
        for xb, yb in data:
            loss_fn(wrapped(xb), yb).backward()
            optimizer.step()
            optimizer.zero_grad()

    return train


def _by_trainer(width: int, agreement: Any) -> Train:
    wrapped, _, optimizer = _parts(width)
    trainer = Trainer(wrapped, nn.MSELoss(), optimizer)
    trainer.agreement = agreement
    return trainer.fit


def _peers(width: int) -> dict[str, Train]:
    """Those that are installed."""
    found: dict[str, Train] = {}
    if importlib.util.find_spec("accelerate"):
        found["accelerate"] = _by_accelerate(width, agrees=False)
        found["accelerate with check_trigger"] = _by_accelerate(width, agrees=True)
    if importlib.util.find_spec("lightning"):
        found["lightning"] = _by_lightning(width)
    return found


def _by_accelerate(width: int, agrees: bool) -> Train:
    from accelerate import Accelerator  # noqa: PLC0415

    accelerator = Accelerator(cpu=True)
    _, plain, optimizer = _parts(width)
    model, optimizer = accelerator.prepare(plain, optimizer)
    loss_fn = nn.MSELoss()

    def train(data: Any) -> None:
        for xb, yb in data:
            if agrees and accelerator.check_trigger():
                break
            accelerator.backward(loss_fn(model(xb), yb))
            optimizer.step()
            optimizer.zero_grad()

    return train


def _by_lightning(width: int) -> Train:
    from lightning.pytorch import LightningModule  # noqa: PLC0415
    from lightning.pytorch import Trainer as Lightning  # noqa: PLC0415

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    _, plain, optimizer = _parts(width)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = plain

        def training_step(self, batch: Any, _: int) -> Any:
            return nn.functional.mse_loss(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return optimizer

    module = Module()

    def train(data: Any) -> None:
        off = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
        off |= dict.fromkeys(("enable_progress_bar", "use_distributed_sampler"), False)
        lightning = Lightning(max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", **off)
        lightning.fit(module, DataLoader(data, batch_size=None))

    return train


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
        found["batches"] = {name: _compared(batch_times(width)) for name, width in WIDTHS.items()}
    if dist.get_rank() == 0:
        file.write_text(json.dumps(found), encoding="utf-8")


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


def _compared(times: dict[str, list[float]]) -> dict[str, Any]:
    hand = times["by hand"]
    ratios = {name: round(_ratio(own, hand), 3) for name, own in times.items() if own is not hand}
    return {"by_hand_us": round(statistics.median(hand)), "ratios": ratios}


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
        found: dict[str, Any] = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
        found["ranks"] = {str(ranks): launched(ranks, folder) for ranks in RANKS}
    text = json.dumps(found, indent=1) + "\n"
    print(text, end="")
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""The cost of a checkpoint: `python benchmarks/checkpoint.py`, or `make bench`.

1. How long one save blocks the training thread, for 1, 100 and 1 000 MB: weights and both averages
   of AdamW. Two fits with empty activities on the same model, one with synchronous saves and one
   with async_save, are stepped one transition at a time; the time from `after_batch` to the next
   `begin_batch` is measured: of the first on the wall, of the second as CPU time of the training
   thread, which leaves out what a busy machine makes it wait. Three references alternate with them
   in the same process: `torch.save` of the same state dict to a new file plus an fsync; the same,
   then renamed and with an fsync of its folder, which a kill or a power cut leaves whole; and a
   `clone` of each of its tensors.
2. The time from `fit(resume=state)` to the first batch, at batch 10 and at batch 1 000 000 of an
   epoch of 4 000 040 shuffled examples.

All figures are medians over the rounds; on a noisy machine, trust the ratios.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import result_files
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from trackside.engine import KeyedLoader, Trainer
from trackside.handlers import Checkpoint

Trainer.verbose = False  # a bar takes time

LAYERS = 12
SIZES = (1, 100, 1000)
FAR = 1_000_000


def a_step(state: Any) -> str:
    state.step += 1
    return "after_step"


EMPTY: dict[str, Callable[[Any], str]] = {
    "forward": lambda state: "after_pred",
    "loss": lambda state: "after_loss",
    "backward": lambda state: "after_backward",
    "step": a_step,
    "zero_grad": lambda state: "after_batch",
}


def model_of(megabytes: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model whose weights and AdamW state together have this many MB."""
    width = int((megabytes * 1e6 / 4 / 3 / LAYERS) ** 0.5)
    model = nn.Sequential(*[nn.Linear(width, width, bias=False) for _ in range(LAYERS)])
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


class Fit:
    """A fit with empty activities that saves after each batch."""

    def __init__(self, parts: tuple[nn.Module, torch.optim.Optimizer], folder: Path, **how: Any):
        self.checkpoint = Checkpoint(folder, steps=1, keep_last=1, **how)
        self.trainer = Trainer(
            parts[0], nn.MSELoss(), parts[1], [self.checkpoint], activities=EMPTY
        )
        self.run = self.trainer.steps(
            repeat((torch.zeros(1), torch.zeros(1))), batches_per_epoch=99
        )

    def stands_still(self, clock: Callable[[], float]) -> float:
        """Seconds from the end of a batch to the next one, with a save in between."""
        self.advance("after_batch")
        return seconds(lambda: next(self.run), clock)

    def advance(self, trigger: str) -> None:
        for transition in self.run:
            if transition.trigger == trigger:
                return

    def rest(self) -> None:
        """Wait until the background write is done; a real batch would take longer than that."""
        name = f"step-{self.trainer.state.step:012}"
        while self.checkpoint.last is None or self.checkpoint.last.name != name:
            time.sleep(0.001)
        time.sleep(0.01)


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors(part)


def seconds(work: Callable[[], object], clock: Callable[[], float] = perf_counter) -> float:
    begun = clock()
    done = work()
    taken = clock() - begun
    del done
    return taken


def copies(state: dict[str, Any]) -> list[Tensor]:
    return [tensor.clone() for tensor in tensors(state)]


def torch_save(state: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


def renamed_save(state: dict[str, Any], folder: Path) -> None:
    torch_save(state, folder / "new.pt")
    os.replace(folder / "new.pt", folder / "state.pt")
    opened = os.open(folder, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)


def standing_still(megabytes: int, rounds: int, folder: Path) -> dict[str, float]:
    """Median ms of each kind of save, and the median ratios of the pairs."""
    parts = model_of(megabytes)
    at_once = Fit(parts, folder / "at once")
    behind = Fit(parts, folder / "behind", async_save=True)
    state = Trainer(parts[0], nn.MSELoss(), parts[1]).state_dict()
    names = "copy", "async", "torch.save", "renamed", "sync"
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds + 1):
        taken["copy"].append(seconds(lambda: copies(state), thread_time))
        taken["async"].append(behind.stands_still(thread_time))
        behind.rest()
        taken["torch.save"].append(seconds(lambda: torch_save(state, folder / "new.pt")))
        taken["renamed"].append(seconds(lambda: renamed_save(state, folder)))
        taken["sync"].append(at_once.stands_still(perf_counter))
        at_once.rest()
    at_once.run.close()
    behind.run.close()
    kept = {name: values[1:] for name, values in taken.items()}  # the first round warms up
    figures = {name: statistics.median(values) * 1e3 for name, values in kept.items()}
    figures["async / copy"] = statistics.median(map(divided, kept["async"], kept["copy"]))
    figures["sync / torch.save"] = statistics.median(map(divided, kept["sync"], kept["torch.save"]))
    figures["sync / renamed"] = statistics.median(map(divided, kept["sync"], kept["renamed"]))
    return figures


def divided(one: float, other: float) -> float:
    return one / other


class Numbers(Dataset[Tensor]):
    """Examples that cost nothing to load, enough for a million batches."""

    def __len__(self) -> int:
        return 4 * FAR + 40

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((4,), index / len(self))


def resumable() -> tuple[Trainer, KeyedLoader]:
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    trainer = Trainer(model, lambda pred: pred.mean(), optimizer)
    return trainer, KeyedLoader(Numbers(), 4, shuffle=True)


def saved_at_10() -> dict[str, Any]:
    trainer, loader = resumable()
    run = trainer.steps(loader)
    for transition in run:
        if transition.trigger == "after_batch" and trainer.state.batch_index == 9:
            break
    state = copy.deepcopy(trainer.state_dict())
    run.close()
    return state


def at(saved: dict[str, Any], batch: int) -> dict[str, Any]:
    """A copy of the state, as if `batch` batches had been read."""
    moved = copy.deepcopy(saved)
    moved["position"]["batch_index"] = batch - 1
    moved["loaders"]["train"]["batch"] = batch
    return moved


def to_the_first_batch(saved: dict[str, Any]) -> float:
    trainer, loader = resumable()
    begun = perf_counter()
    run = trainer.steps(loader, resume=saved)
    next(run)
    taken = perf_counter() - begun
    assert trainer.state.batch_index == saved["position"]["batch_index"] + 1
    run.close()
    return taken


def resuming(rounds: int) -> dict[str, float]:
    """Median ms of both positions, and the median ratio of the pairs."""
    saved = saved_at_10()
    near, far = at(saved, 10), at(saved, FAR)
    pairs = [(to_the_first_batch(near), to_the_first_batch(far)) for _ in range(rounds + 1)][1:]
    return {
        "at batch 10": statistics.median(one for one, _ in pairs) * 1e3,
        f"at batch {FAR}": statistics.median(other for _, other in pairs) * 1e3,
        "ratio": statistics.median(other / one for one, other in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="of which medians are taken")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="in MB")
    parser.add_argument(
        "--folder", type=Path, help="on the disk to write to; default: a temporary one"
    )
    parser.add_argument("--write", action="store_true", help="write results/checkpoint.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, dict[str, float]] = {}
    for megabytes in arguments.sizes:
        folder = Path(tempfile.mkdtemp(dir=arguments.folder))
        try:
            figures[f"{megabytes} MB"] = standing_still(megabytes, arguments.rounds, folder)
        finally:
            shutil.rmtree(folder)
    figures["resume"] = resuming(arguments.rounds)
    for name, found in figures.items():
        print(name, *(f"{what} {value:.2f}" for what, value in found.items()), sep="  ")
    if arguments.write:
        result_files.write("checkpoint", figures)
    sys.stdout.flush()


if __name__ == "__main__":
    main()

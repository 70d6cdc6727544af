"""Memory of a rank: `python benchmarks/sharded_memory.py`, on the CPU, over gloo, with 2 ranks.

A transformer of some 20 million parameters makes a few steps with AdamW, in a launch of its own for
each way: DDP, FSDP2, FSDP2 by block, and by block from the meta device, where no rank ever has the
whole model. For each the most memory that a rank had (RSS) beyond what it had before the model was
made, in MB, of the rank that had most. With `--write` they go to `results/sharded_memory.json`.

Each way runs once more with `MALLOC_MMAP_THRESHOLD_` in the environment (`fixed`): glibc otherwise
raises its threshold when a large block is freed, takes large blocks from the heaps of the threads
from then on, and keeps them. FSDP2 allocates and frees whole blocks in every batch.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed.fsdp  # large: loaded before the memory is read
from torch import nn
from torch.utils.data import TensorDataset

from trackside import Checkpoint, Distributed, KeyedLoader, Trainer

Trainer.verbose = False  # a bar takes time

RESULTS = Path(__file__).with_name("results") / "sharded_memory.json"
WAYS: dict[str, dict[str, Any]] = {
    "ddp": {"strategy": "ddp"},
    "fsdp2": {"strategy": "fsdp2"},
    "fsdp2, blocks": {"strategy": "fsdp2", "blocks": lambda m: isinstance(m, Block)},
    "fsdp2, blocks, meta": {
        "strategy": "fsdp2",
        "blocks": lambda m: isinstance(m, Block),
        "whole": False,
    },
}
RANKS, STEPS, WIDTH, DEPTH, WORDS = 2, 4, 512, 6, 1000
Block = nn.TransformerEncoderLayer


def network() -> nn.Module:
    """Some 20 million parameters."""
    blocks = [Block(WIDTH, 8, 4 * WIDTH, 0.0, batch_first=True) for _ in range(DEPTH)]
    return nn.Sequential(nn.Embedding(WORDS, WIDTH), *blocks, nn.Linear(WIDTH, WORDS))


def loss_of(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy of each token."""
    return nn.functional.cross_entropy(pred.flatten(0, 1), target.flatten())


def measure(way: str, folder: Path) -> None:
    """In one rank: train, and write what it took."""
    torch.set_num_threads(1)
    options = WAYS[way]
    before = _peak()
    with torch.device("meta" if options.get("whole") is False else "cpu"):
        model = network()
    handlers: list[Any] = [Distributed(**options)]
    if options.get("whole") is False:
        handlers.append(Checkpoint(folder / "checkpoints", steps=10 * STEPS))
    optimizer = torch.optim.AdamW(model.parameters())
    tokens = torch.randint(WORDS, (2 * RANKS * STEPS, 17))
    trainer = Trainer(model, loss_of, optimizer, handlers)
    trainer.on("after_step")(lambda trainer, state: peaks.append(_peak()))
    peaks: list[float] = []
    trainer.fit(KeyedLoader(TensorDataset(tokens[:, :-1], tokens[:, 1:]), 2))
    found = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "training": round(peaks[-1] - before),
        "with_the_end": round(_peak() - before),
    }
    Path(folder, f"rank{os.environ['RANK']}.json").write_text(json.dumps(found), encoding="utf-8")


def _peak() -> float:
    """The most resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def figures(way: str) -> dict[str, Any]:
    """The figures of one way, as it comes and with a fixed threshold."""
    fixed = launched(way, MALLOC_MMAP_THRESHOLD_=str(2**17))
    return {**launched(way), **{f"{k}_fixed": v for k, v in fixed.items() if k != "parameters"}}


def launched(way: str, **variables: str) -> dict[str, Any]:
    """The figures of one way, the greatest of its ranks."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    with tempfile.TemporaryDirectory() as name:
        arguments = [f"--nproc-per-node={RANKS}", __file__, "--rank-of", name, "--way", way]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        subprocess.run([*command, *arguments], env=environment, check=True)
        ranks = [json.loads(path.read_text("utf-8")) for path in sorted(Path(name).glob("rank*"))]
    return {key: max(rank[key] for rank in ranks) for key in ranks[0]}


def main() -> None:
    """Print the figures; with `--write` also to `results/sharded_memory.json`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write results/{RESULTS.name}")
    parser.add_argument("--rank-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank_of is not None:
        measure(options.way, options.rank_of)
        return
    text = json.dumps({way: figures(way) for way in WAYS}, indent=1) + "\n"
    print(text, end="")
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

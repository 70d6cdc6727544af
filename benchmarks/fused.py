"""What `Fuse` gains, beside the bare loop: `python benchmarks/fused.py`.

For each work of `works.py`: a first fit in which the trial is made, compiled by inductor, then one
whose stretches of batches take turns with those of the bare loop on a model of its own, in one
process, timed by its CPU time (see `job.Paired`). The same without `Fuse`. What the trial has
decided is printed. With `--write`, `results/fused.json` has the figures.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import result_files
import torch
from job import Bare, Paired
from torch import nn
from works import DIGITS, WORKS, write_digits

from trackside import Fuse, Trainer

Trainer.verbose = False  # a bar takes time

TRIAL = 31
"""The batches of the trial of a shape, by default."""


def beside_the_bare_loop(name: str, stretches: int, fuses: bool) -> dict[str, Any]:
    """The time of a batch relative to the bare loop's, in pairs; what was decided; the trial."""
    work = WORKS[name]
    torch.manual_seed(0)
    model = work.model()
    handlers = [Fuse()] if fuses else []
    trainer = Trainer(model, nn.CrossEntropyLoss(), work.optimizer(model), handlers)
    start = time.perf_counter()
    trainer.fit(work.batches(TRIAL))
    trial = time.perf_counter() - start
    pairs = Paired(work.batches(work.stretch * stretches), work.stretch, Bare(work))
    trainer.fit(pairs)
    ratios = [ours / bare for ours, bare in pairs.us_a_batch[1:]]
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
        "bare_us_a_batch": statistics.median(bare for _, bare in pairs.us_a_batch),
        "first_batches_s": trial,
    }
    return {**figures, "decided": trainer.explain("fused")} if fuses else figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stretches", type=int, default=30)
    parser.add_argument("--write", action="store_true", help="write results/fused.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not DIGITS.exists():
        write_digits()
    figures: dict[str, Any] = {}
    for name in WORKS:
        plain, fused = (beside_the_bare_loop(name, arguments.stretches, f) for f in (False, True))
        figures[name] = {"plain": plain, "fused": fused}
        low, high = fused["ratio_quartiles"]
        print(f"{name:12} {plain['ratio']:.3f} × the bare loop, with Fuse {fused['ratio']:.3f} ×")
        print(f"  (quartiles {low:.3f} to {high:.3f}; bare {fused['bare_us_a_batch']:.0f} µs;")
        print(f"  the first {TRIAL} batches {fused['first_batches_s']:.1f} s)\n{fused['decided']}")
    if arguments.write:
        result_files.write("fused", {"measured": figures})


if __name__ == "__main__":
    main()

"""Processor instructions of a training batch: `python benchmarks/instructions.py`.

The 32-64-10 MLP at batch 32, by hand and with the engine, each in a process under callgrind. From
the 41st batch on it counts instructions, and misses of a first-level cache like that of the
processor and of a second-level cache of half a megabyte. It takes two minutes and needs valgrind
with `callgrind_control`. Between environments the result differs by up to 1.2 % of the batch,
because of the allocator and the addresses of objects.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import result_files
import torch
from job import Bare
from works import WORKS, Batch

from trackside.engine import Trainer

Trainer.verbose = False  # a bar takes time

MLP = WORKS["mlp"]
WARM, COUNTED = 40, 300
LOOPS = ("bare", "fit")
VALGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no", "--cache-sim=yes")
SECOND_LEVEL = "--LL=524288,8,64"  # bytes, ways, bytes of a line
COUNTS = {
    "instructions": ("Ir",),
    "of them missed, level 1": ("I1mr",),
    "of them missed, level 2": ("ILmr",),
    "data missed, level 1": ("D1mr", "D1mw"),
    "data missed, level 2": ("DLmr", "DLmw"),
}


def served(data: list[Batch]) -> Iterator[Batch]:
    """Yield the batches; count those after the warm-up, then end the process."""
    yield from data[:WARM]
    switch = ["callgrind_control", "--instr=on", str(os.getpid())]
    subprocess.run(switch, check=True, stdout=subprocess.DEVNULL)
    yield from data[WARM:]
    os._exit(0)


def run(loop: str) -> None:
    torch.set_num_threads(1)
    own = Bare(MLP)
    batches = served(MLP.batches(20) * ((WARM + COUNTED) // 20))
    gc.disable()
    if loop == "bare":
        own.run(batches)
    else:
        Trainer(own.model, own.loss_fn, own.optimizer).fit(batches)


def counted(loop: str, folder: Path) -> dict[str, float]:
    """The counts of one batch of a loop, by name."""
    file = folder / loop
    command = [*VALGRIND, SECOND_LEVEL, f"--callgrind-out-file={file}", sys.executable, __file__]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, loop], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    lines = dict(line.split(":", 1) for line in file.read_text().splitlines() if ": " in line)
    found = dict(zip(lines["events"].split(), map(int, lines["summary"].split()), strict=True))
    return {name: sum(found[e] for e in events) / COUNTED for name, events in COUNTS.items()}


def main() -> None:
    missing = [name for name in ("valgrind", "callgrind_control") if shutil.which(name) is None]
    if missing:
        raise SystemExit(f"there is no {missing[0]} here: install the package valgrind")
    with tempfile.TemporaryDirectory() as folder:
        bare, fit = (counted(loop, Path(folder)) for loop in LOOPS)
    if "--write" in sys.argv:
        result_files.write("instructions", {"by hand": bare, "the engine": fit})
    for name, count in bare.items():
        added = fit[name] - count
        print(f"{name:24} {count:10,.0f} by hand, {added:+8,.0f} by the engine", end="")
        print(f" ({fit[name] / count:.3f} ×)")


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in LOOPS:
        run(sys.argv[1])
    else:
        main()

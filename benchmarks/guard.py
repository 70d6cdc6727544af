"""The cost of a training batch, counted without a clock: `python benchmarks/guard.py`.

Two figures that do not depend on the load of the machine:

1. calls: the Python and C function calls that cProfile counts in a batch of the 32-64-10 MLP, in a
   fit without handlers and in the hand-written loop. The difference is the cost of the engine; it
   depends on how often torch calls itself, so `guard.json` has the figures of each torch.
2. instructions: the bytecode instructions of the engine and the bus in such a batch. They depend
   on the Python version, so `guard.json` has one figure per recorded version.

`tests/benchmarks/test_guard.py` checks that both stay within 5 % of `guard.json`. `make guard`
records new figures: for an intended change only, never to make a failing test pass.
"""

from __future__ import annotations

import cProfile
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from job import Bare
from works import WORKS, Batch

from trackside.engine import Trainer

Trainer.verbose = False  # a bar takes time

RECORD = Path(__file__).with_name("guard.json")
Loop = Callable[[list[Batch]], Any]
MLP = WORKS["mlp"]
SHORT, LONG = 5, 25  # batches; the fixed cost of a fit cancels out in their difference


def fit() -> Loop:
    own = Bare(MLP)
    return Trainer(own.model, own.loss_fn, own.optimizer).fit


def calls(work: Callable[[], Any]) -> int:
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def instructions(work: Callable[[], Any]) -> int:
    """Bytecode instructions in modules of trackside only, without those of torch."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal counted
        if not frame.f_globals["__name__"].startswith("trackside."):
            return None
        frame.f_trace_opcodes = True
        counted += event == "opcode"
        return count

    with _traced(count):
        work()
    return counted


def a_batch(counter: Callable[[Callable[[], Any]], int], loop: Loop) -> float:
    data = MLP.batches(LONG)
    lengths = (SHORT, SHORT, LONG)  # the first run warms up the process
    _, short, long = (counter(lambda n=n: loop(data[:n])) for n in lengths)
    return (long - short) / (LONG - SHORT)


def measured() -> dict[str, Any]:
    bare, whole = a_batch(calls, Bare(MLP).run), a_batch(calls, fit())
    return {
        "calls": {_torch(): {"bare loop": bare, "fit": whole, "engine": whole - bare}},
        "instructions": {_python(): a_batch(instructions, fit())},
    }


def record() -> None:
    """Write new figures; those of other versions of Python and torch are kept."""
    found = measured()
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    kept = {what: {**known.get(what, {}), **figures} for what, figures in found.items()}
    RECORD.write_text(json.dumps(kept, indent=2) + "\n")


def _torch() -> str:
    return torch.__version__.partition("+")[0]


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@contextmanager
def _traced(trace: Callable[[FrameType, str, object], Any]) -> Iterator[None]:
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        record()
    print(json.dumps(measured()))

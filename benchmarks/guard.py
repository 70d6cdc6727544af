"""What a training batch takes, counted without a clock: `python benchmarks/guard.py`.

Two figures, the same on a noisy machine as on a quiet one:

1. calls: the functions of Python and of C that cProfile sees in a batch of the 32-64-10 MLP, of a
   fit without handlers and of the hand-written loop. Their difference is the engine's own.
2. instructions: the bytecode instructions of the engine and the bus in such a batch; they depend
   on the version of Python, so there is a figure for each one that it was recorded on.

`tests/benchmarks/test_guard.py` holds both within 5 % of what `guard.json` has on record.
`make guard` records them anew: for a change that is meant, never to make a red test green.
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

from job import Bare
from works import WORKS, Batch

from trackside.engine import Trainer

RECORD = Path(__file__).with_name("guard.json")
Loop = Callable[[list[Batch]], Any]
MLP = WORKS["mlp"]
SHORT, LONG = 5, 25  # batches; what a fit costs once is in both, so their difference is without it


def fit() -> Loop:
    own = Bare(MLP)
    return Trainer(own.model, own.loss_fn, own.optimizer).fit


def calls(work: Callable[[], Any]) -> int:
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def instructions(work: Callable[[], Any]) -> int:
    """Those of the modules of trackside alone: torch's are none of ours."""
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
    lengths = (SHORT, SHORT, LONG)  # the first for what is done once in a process
    _, short, long = (counter(lambda n=n: loop(data[:n])) for n in lengths)
    return (long - short) / (LONG - SHORT)


def measured() -> dict[str, Any]:
    bare, whole = a_batch(calls, Bare(MLP).run), a_batch(calls, fit())
    return {
        "calls": {"bare loop": bare, "fit": whole, "engine": whole - bare},
        "instructions": {_python(): a_batch(instructions, fit())},
    }


def record() -> None:
    """Keeps the figures of other versions of Python."""
    found = measured()
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    found["instructions"] = {**known.get("instructions", {}), **found["instructions"]}
    RECORD.write_text(json.dumps(found, indent=2) + "\n")


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

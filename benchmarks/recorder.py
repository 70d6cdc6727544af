"""The cost of the recorder: `python benchmarks/recorder.py`, or `make bench`.

1. A transition: a training batch with empty activities, 8 transitions, with the default recorder
   and without; the difference divided by 8.
2. A timed receiver call: the same with 8 receivers of `after_loss` that do nothing, with
   `timing=True` and without; the difference divided by 8.
3. Memory: the bytes that a run of 10 000 000 records leaves behind, without the ring buffer.

Rounds alternate every few milliseconds, so that all setups see a similar load of the machine. Times
are CPU time of the thread, which excludes other processes except for their effect on the caches.
Figures are medians over the rounds, and the fastest tenth of them.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import resource
import statistics
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from time import thread_time
from typing import Any

import result_files
import torch
from overhead import MLP, empty_trainer

from trackside.engine import Trainer
from trackside.handlers import Recorder
from trackside.views import Recording

Trainer.verbose = False  # a bar takes time

TRANSITIONS = 8
RECEIVERS = 8

Setup = Callable[[Trainer], AbstractContextManager[Any]]


def plain(trainer: Trainer) -> AbstractContextManager[Any]:
    return ExitStack()


def recorded(path: Path, **options: Any) -> Setup:
    return lambda trainer: trainer.attach(Recorder(path, **options))


def heard(setup: Setup) -> Setup:
    """Wrap `setup`: it runs on a trainer with receivers that do nothing."""

    def receivers(trainer: Trainer) -> AbstractContextManager[Any]:
        stack = ExitStack()
        for _ in range(RECEIVERS):
            receiver = trainer.on("after_loss")(lambda trainer, state: None)
            stack.callback(trainer.detach, receiver)
        stack.enter_context(setup(trainer))
        return stack

    return receivers


def cpu_seconds(trainer: Trainer, count: int) -> float:
    """CPU seconds per batch of one epoch with empty activities, without the setup of the fit."""
    batch = MLP.batches(1)[0]
    clock = {}
    stop = trainer.on("after_train", once=True)
    stop(lambda trainer, state: clock.update(stop=thread_time()))

    def loader() -> Iterator[Any]:
        clock["start"] = thread_time()
        yield from itertools.repeat(batch, count)

    trainer.fit(loader())
    return (clock["stop"] - clock["start"]) / count


def microseconds(setups: dict[str, Setup], rounds: int, count: int) -> dict[str, list[float]]:
    """µs per batch of each setup, one figure per round."""
    trainer = empty_trainer()
    times: dict[str, list[float]] = {name: [] for name in setups}
    for _ in range(rounds):
        for name, setup in setups.items():
            with setup(trainer):
                times[name].append(cpu_seconds(trainer, count) * 1e6)
    return times


def added(times: dict[str, list[float]], without: str, by: str, parts: int) -> dict[str, float]:
    """The time that `by` adds to a batch of `without`, divided by `parts`."""
    return {
        "median": (statistics.median(times[by]) - statistics.median(times[without])) / parts,
        "fastest tenth": (tenth(times[by]) - tenth(times[without])) / parts,
    }


def tenth(times: list[float]) -> float:
    """The first decile of the times."""
    return statistics.quantiles(times, n=10)[0]


def memory(path: Path, records: int) -> dict[str, int]:
    """Bytes that the second half of `records` leaves in Python, and in the process."""
    trainer = empty_trainer()
    count = records // TRANSITIONS
    sizes: dict[int, tuple[int, int]] = {}

    @trainer.on("begin_batch", when=lambda t, state: state.batch_index in (count // 2, count - 1))
    def measure(trainer: Any, state: Any) -> None:
        gc.collect()
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        sizes[state.batch_index] = tracemalloc.get_traced_memory()[0], resident

    def loader() -> Iterator[Any]:
        yield from itertools.repeat(MLP.batches(1)[0], count)

    trainer.attach(Recorder(path))
    tracemalloc.start()
    trainer.fit(loader())
    tracemalloc.stop()
    with Recording(path) as recording:
        written = recording.end
    before, after = sizes[count // 2], sizes[count - 1]
    return {"records": written, "python": after[0] - before[0], "resident": after[1] - before[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a look")
    parser.add_argument("--write", action="store_true", help="write results/recorder.json")
    arguments = parser.parse_args()
    scale = 1 if arguments.quick else 10
    torch.set_num_threads(1)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.loop"
        setups = {
            "plain": plain,
            "recorded": recorded(path),
            "heard": heard(recorded(path)),
            "timed": heard(recorded(path, timing=True)),
        }
        times = microseconds(setups, rounds=10 * scale + 1, count=1_000)
        figures = {
            "us a batch": {name: statistics.median(taken) for name, taken in times.items()},
            "us a transition": added(times, "plain", "recorded", TRANSITIONS),
            "us a timed receiver call": added(times, "heard", "timed", RECEIVERS),
            "bytes left by the second half": memory(path, 1_000_000 * scale),
        }
    if arguments.write:
        result_files.write("recorder", figures)
    for name in ("us a transition", "us a timed receiver call"):
        cost = figures[name]
        print(f"{name:26} {cost['median']:8.3f}  (fastest tenth {cost['fastest tenth']:.3f})")
    left = figures["bytes left by the second half"]
    print(f"second half of {left['records']:10} records leaves {left['python']} bytes in Python,")
    print(f"{left['resident']} bytes of resident memory")


if __name__ == "__main__":
    main()

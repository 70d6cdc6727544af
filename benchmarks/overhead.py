"""The cost of the machine and the bus: `python benchmarks/overhead.py`, or `make bench`.

1. Empty activities, so that only the engine is measured: µs per training batch without a
   subscriber, and the µs that each receiver adds.
2. Real work: the 32-64-10 MLP at batch 32, one thread, compared with a hand-written loop. Beside
   every 40 batches of the trainer, the hand-written loop runs 40 batches on a model of its own,
   which are timed separately: both halves of a pair see a similar load of the machine, and take
   turns in being the first. Where no profiler records, the engine leaves out what torch does
   around each `step` and `zero_grad` to announce them; so the same is measured again beside a loop
   that leaves it out, too: the difference is what the engine adds.
3. Length: µs per batch of fits of 1 000, 10 000 and 100 000 batches, empty activities.
4. Memory: the bytes that 1 000 000 batches with empty activities leave behind.

On a noisy machine, trust the ratio of the pairs rather than the times.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from time import process_time
from typing import Any

import result_files
import torch
from job import Bare, Paired
from works import WORKS, Batch

from trackside.engine import Trainer

Trainer.verbose = False  # a bar takes time

MLP = WORKS["mlp"]

EMPTY: dict[str, Callable[[Any], str]] = {
    "forward": lambda state: "after_pred",
    "loss": lambda state: "after_loss",
    "backward": lambda state: "after_backward",
    "step": lambda state: "after_step",
    "zero_grad": lambda state: "after_batch",
}


def empty_trainer() -> Trainer:
    own = Bare(MLP)
    return Trainer(own.model, own.loss_fn, own.optimizer, activities=EMPTY)


def seconds_a_batch(trainer: Trainer, count: int) -> float:
    """Seconds per batch of one epoch with empty activities, without the setup of the fit."""
    (batch,) = MLP.batches(1)
    clock = {}
    stop = trainer.on("after_train", once=True)
    stop(lambda trainer, state: clock.update(stop=process_time()))

    def loader() -> Iterator[Batch]:
        clock["start"] = process_time()
        yield from itertools.repeat(batch, count)

    trainer.fit(loader())
    return (clock["stop"] - clock["start"]) / count


def engine_alone(rounds: int, count: int) -> dict[str, float]:
    """µs per batch without subscribers, and µs per receiver call with 1, 10 and 100 receivers."""
    trainer = empty_trainer()
    times: dict[int, list[float]] = {0: [], 1: [], 10: [], 100: []}
    for _ in range(rounds):
        for subscribers, taken in times.items():
            heard = [lambda trainer, state: None for _ in range(subscribers)]
            for receiver in heard:
                trainer.on("after_loss")(receiver)
            taken.append(seconds_a_batch(trainer, count) * 1e6)
            for receiver in heard:
                trainer.detach(receiver)
    base = statistics.median(times[0])
    figures = {"us_a_batch": base, "us_a_batch_least": min(times[0])}
    for subscribers in (1, 10, 100):
        added = [(t - b) / subscribers for t, b in zip(times[subscribers], times[0], strict=True)]
        figures[f"us_a_receiver_call_of_{subscribers}"] = statistics.median(added)
    return figures


class Unannounced(Bare):
    """A hand-written loop that leaves out torch's announcement of a step, as the engine does."""

    def run(self, data: Iterable[Batch]) -> None:
        model, loss_fn, optimizer = self.model, self.loss_fn, self.optimizer
        step = type(optimizer).step.__wrapped__  # type: ignore[attr-defined]
        for xb, yb in data:
            loss = loss_fn(model(xb), yb)
            loss.backward()
            step(optimizer)
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None


def beside_the_bare_loop(rounds: int, bare: Bare) -> dict[str, Any]:
    """Median and quartiles of the ratios of the pairs; whether the weights are equal."""
    own = Bare(MLP)
    batches = Paired(MLP.batches(MLP.stretch * MLP.stretches), MLP.stretch, bare)
    Trainer(own.model, own.loss_fn, own.optimizer).fit(batches, epochs=rounds)
    pairs = batches.us_a_batch[MLP.stretches :]  # the first round warms up
    low, middle, high = statistics.quantiles([ours / theirs for ours, theirs in pairs], n=4)
    same = all(map(torch.equal, bare.model.parameters(), own.model.parameters()))
    return {
        "ratio": middle,
        "ratio_quartiles": [low, high],
        "pairs": len(pairs),
        "bare_us_a_batch": statistics.median(theirs for _, theirs in pairs),
        "weights_equal": same,
    }


def by_length(rounds: int) -> dict[int, float]:
    """µs per batch with empty activities, by length of the fit; medians of interleaved rounds."""
    trainer = empty_trainer()
    times: dict[int, list[float]] = {1_000: [], 10_000: [], 100_000: []}
    for _ in range(rounds):
        for count, taken in times.items():
            taken.append(seconds_a_batch(trainer, count) * 1e6)
    return {count: statistics.median(taken) for count, taken in times.items()}


def memory_growth(count: int) -> int:
    """Bytes that the second half of `count` batches with empty activities leaves behind."""
    trainer = empty_trainer()
    sizes = {}

    @trainer.on("begin_batch", when=lambda t, state: state.batch_index in (count // 2, count - 1))
    def measure(trainer: Any, state: Any) -> None:
        gc.collect()
        sizes[state.batch_index] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    trainer.fit(itertools.repeat(MLP.batches(1)[0], count))
    tracemalloc.stop()
    return sizes[count - 1] - sizes[count // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a look")
    parser.add_argument("--write", action="store_true", help="write results/overhead.json")
    arguments = parser.parse_args()
    scale = 1 if arguments.quick else 10
    torch.set_num_threads(1)

    figures = {
        "torch": torch.__version__,
        "engine alone": engine_alone(rounds=2 * scale + 1, count=2_000),
        "beside the bare loop": beside_the_bare_loop(max(6, scale) + 1, Bare(MLP)),
        "beside one that announces nothing": beside_the_bare_loop(
            max(6, scale) + 1, Unannounced(MLP)
        ),
        "us a batch by length": by_length(rounds=scale // 2 + 1),
        "memory": {"batches": 100_000 * scale, "bytes": memory_growth(100_000 * scale)},
    }
    if arguments.write:
        result_files.write("overhead", figures)
    engine = figures["engine alone"]
    print(f"empty work, no subscriber     {engine['us_a_batch']:8.2f} µs a training batch")
    for n in (1, 10, 100):
        cost = engine[f"us_a_receiver_call_of_{n}"]
        print(f"each of {n:3} receivers         {cost:8.3f} µs a call")
    for name, loop in (
        ("beside the bare loop", "the bare loop"),
        ("beside one that announces nothing", "one that announces nothing"),
    ):
        beside = figures[name]
        low, high = beside["ratio_quartiles"]
        print(f"32-64-10 MLP, batch 32        {beside['ratio']:8.3f} × {loop}", end="")
        print(f" (quartiles {low:.3f} to {high:.3f}; {beside['bare_us_a_batch']:.0f} µs a batch)")
        print(f"weights equal bit for bit     {beside['weights_equal']!s:>8}")
    for count, cost in figures["us a batch by length"].items():
        print(f"a fit of {count:7} batches     {cost:8.2f} µs a batch")
    print(f"memory left behind            {figures['memory']['bytes']:8} bytes")


if __name__ == "__main__":
    main()

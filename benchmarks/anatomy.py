"""Where the time of a training batch goes: `python benchmarks/anatomy.py`, or `make bench`.

The 32-64-10 MLP at batch 32, in four loops, each with more of the engine than the one before:
written by hand; split into functions that share a state; the engine's activities called in order;
the whole engine. Rounds alternate between the loops. In each, the hand-written loop runs in pairs
with the measured one (see `job.Paired`).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterable

import result_files
import torch
from job import Bare, Paired
from works import WORKS, Batch

from trackside.engine import Trainer
from trackside.engine.batches.batch import set_batch
from trackside.engine.loop import activities
from trackside.events import TrainState

Trainer.verbose = False  # a bar takes time

MLP = WORKS["mlp"]


def forward(state: TrainState) -> None:
    state.pred = state.model(state.xb)


def loss(state: TrainState) -> None:
    state.loss = state.loss_fn(state.pred, state.yb)


def backward(state: TrainState) -> None:
    state.loss.backward()


def step(state: TrainState) -> None:
    state.optimizer.step()


def zero_grad(state: TrainState) -> None:
    state.optimizer.zero_grad()


def in_functions(own: Bare, batches: Iterable[Batch]) -> None:
    state = TrainState(own.model, own.optimizer, own.loss_fn)
    for state.xb, state.yb in batches:
        forward(state)
        loss(state)
        backward(state)
        step(state)
        zero_grad(state)


def without_machine(own: Bare, batches: Iterable[Batch]) -> None:
    state = TrainState(own.model, own.optimizer, own.loss_fn)
    for batch in batches:
        state.batch_index += 1
        set_batch(state, batch)
        state.samples += state.batch_size
        activities.forward(state)
        activities.loss(state)
        activities.backward(state)
        activities.step(state)
        activities.zero_grad(state)


def whole(own: Bare, batches: Iterable[Batch]) -> None:
    Trainer(own.model, own.loss_fn, own.optimizer).fit(batches)


LOOPS: dict[str, Callable[[Bare, Iterable[Batch]], None]] = {
    "by hand": Bare.run,
    "cut into functions": in_functions,
    "the activities": without_machine,
    "the whole engine": whole,
}


def ratios(rounds: int) -> dict[str, list[float]]:
    """Time of each loop relative to the paired hand-written one: one median per round."""
    data = MLP.batches(MLP.stretch * MLP.stretches)
    found: dict[str, list[float]] = {name: [] for name in LOOPS}
    for _ in range(rounds):
        for name, loop in LOOPS.items():
            batches = Paired(data, MLP.stretch, Bare(MLP))
            loop(Bare(MLP), batches)
            pairs = batches.us_a_batch[1:]  # the first warms up
            found[name].append(statistics.median(own / bare for own, bare in pairs))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--write", action="store_true", help="write results/anatomy.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = {}
    for name, found in ratios(arguments.rounds).items():
        low, middle, high = statistics.quantiles(found, n=4)
        figures[name] = {"ratio": middle, "quartiles": [low, high]}
        print(f"{name:20} {middle:.3f} × the loop by hand (quartiles {low:.3f} to {high:.3f})")
    if arguments.write:
        result_files.write("anatomy", figures)


if __name__ == "__main__":
    main()

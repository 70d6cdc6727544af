"""Ranks as processes: `torchrun --nproc-per-node 2 tests/voting.py FOLDER WHAT`.

`WHAT` is few, all, storm, open, kill or stop.

Each rank runs the same scenarios, one after the other, and writes what came of each to the file
`<folder>/<rank>.json`: the signals, the phase, the weights, what escaped. In `kill` and `stop` the
last rank is killed, or stands still, in a batch.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from oracle import EPOCHS, SIGNALS, TRAINING, Batches, Entries, Raise, Rig, World
from torch.nn.parallel import DistributedDataParallel

from trackside import Trainer
from trackside.events import CANCELS
from trackside.handlers.distributed._control_group import control_group
from trackside.handlers.distributed._overlap import RunOverlap
from trackside.handlers.distributed._process_group import DataGroup
from trackside.handlers.distributed._wrapped_model import ReplicatedModel

GROUP = timedelta(seconds=60)
SHORT = timedelta(seconds=8)
"""Of the votes in which a rank is lost."""

FEW = ("begin_batch", "after_loss", "after_epoch"), ("batch", "epoch", "fit")


OPEN_SIGNALS = tuple(signal for signal in SIGNALS if signal != "begin_backward")


class Replicas:
    """DDP by hand: wraps `forward` of a trainer, and can be taken apart."""

    def __init__(self, world: World) -> None:
        self.group: Any = dist.new_group(timeout=GROUP)
        self.ddp: Any = DistributedDataParallel(world.model, process_group=self.group)

    def wrap_forward(self, forward: Callable[[Any], str]) -> Callable[[Any], str]:
        """Training batches call the wrapper."""

        def run(state: Any) -> str:
            model = state.model
            if state.training and self.ddp is not None:
                state.model = self.ddp
            try:
                return forward(state)
            finally:
                state.model = model

        return run

    def release(self) -> None:
        """End the group: the others fail in it at once."""
        self.ddp = None
        if self.group is not None:
            dist.destroy_process_group(self.group)
            self.group = None


class OpenReplicas:
    """DDP as `Distributed` makes it: a vote may be open while its backward pass runs."""

    def __init__(self, state: Any) -> None:
        self.model = ReplicatedModel(state, DataGroup(GROUP))

    def wrap_forward(self, forward: Callable[[Any], str]) -> Callable[[Any], str]:
        """Training batches call the wrapper."""

        def run(state: Any) -> str:
            model = state.model
            if state.training:
                state.model = self.model.module(model)
            try:
                with self.model.reducing(True):
                    return forward(state)
            finally:
                state.model = model

        return run

    def wrap_backward(self, backward: Callable[[Any], str]) -> Callable[[Any], str]:
        """Every pass asks whether its gradients are wanted."""

        def run(state: Any) -> str:
            try:
                self.model.begin_backward(state.loss)
                trigger = backward(state)
                self.model.have_gradients()
                return trigger
            finally:
                self.model.end_backward()

        return run

    def release(self) -> None:
        """End the group: the others fail in it at once."""
        self.model.release()


class CountingOverlap(RunOverlap):
    """Counts the votes that may stay open."""

    opened = 0

    def overlaps(self, state: Any) -> bool:
        """Whether the vote before the next backward pass can be open while it runs."""
        overlaps = super().overlaps(state)
        self.opened += overlaps
        return overlaps


class OpenRig(Rig):
    """Nobody listens between the loss and the backward pass."""

    signals = OPEN_SIGNALS


def scenario(name: str, plans: tuple[Entries, ...], **options: Any) -> dict[str, Any]:
    """One fit in which each rank raises what its plan says."""
    rank = dist.get_rank()
    is_open = options.get("is_open", False)
    kind = OpenRig if is_open else Rig
    rig = kind(lambda world: Trainer(world.model, world.loss_fn, world.optimizer))
    replicas: Any = OpenReplicas(rig.trainer.state) if is_open else Replicas(rig.world)
    overlap = CountingOverlap(replicas.model, None) if is_open else None
    rig.trainer.wrap("forward", replicas.wrap_forward)
    if is_open:
        rig.trainer.wrap("backward", replicas.wrap_backward)
    escaped: BaseException | None = None
    prepare = options.get("prepare")
    with ExitStack() as groups:
        groups.callback(replicas.release)
        collective, timeout = ("backward", "step"), options.get("timeout", GROUP)
        rig.trainer.agreement = groups.enter_context(
            control_group(name, collective, replicas.release, timeout, overlap)
        )
        if is_open:
            replicas.model.follow(rig.trainer.agreement)
        rig.begin(plans[rank] if rank < len(plans) else ())
        if prepare is not None:
            prepare(rig, rank)
        length = options.get("lengths", {}).get(rank, 3)
        try:
            rig.trainer.fit(Batches(rig.plan, length, 1), Batches(rig.plan, 2, 2), epochs=2)
        except BaseException as error:
            escaped = error
    return {**told(rig, escaped), "opened": 0 if overlap is None else overlap.opened}


def told(rig: Rig, escaped: BaseException | None) -> dict[str, Any]:
    """What came of a fit, as JSON."""
    state, result = rig.trainer.state, rig.result(escaped)
    return {
        "signals": [list(moment) for moment in result.moments],
        "ends": result.ends,
        "steps": result.steps,
        "weights": [weight.tolist() for weight in rig.world.model.parameters()],
        "escaped": list(result.escaped),
        "cancel": None if state.cancel is None else [state.cancel.raised_by, state.cancel.reason],
    }


def kill_one(rig: Rig, rank: int, sent: int) -> None:
    """The last rank ends, or stands still, at its second training batch."""

    def end(trainer: Any, state: Any) -> None:
        if rank == dist.get_world_size() - 1 and (state.epoch, state.batch_index) == (0, 1):
            os.kill(os.getpid(), sent)

    rig.trainer.on("after_loss")(end)


def plans(ranks: int, all_signals: bool) -> dict[str, tuple[Entries, ...]]:
    """The scenarios of the last rank alone, and of two at once, by name."""
    signals, scopes = (SIGNALS, tuple(CANCELS)) if all_signals else FEW
    kinds = (*(CANCELS[scope] for scope in scopes), ValueError)
    alone = {f"{kind.__name__} at {at}": (Raise(kind, at, 1),) for at in signals for kind in kinds}
    alone["the loader"] = (Raise(ValueError, "loader", 2),)
    return {
        **{name: (*[()] * (ranks - 1), plan) for name, plan in alone.items()},
        **at_once(ranks),
        "the model": ((), (Raise(ValueError, "model", 2),)),
        "backward": ((), (Raise(ValueError, "backward", 2),)),
    }


def at_once(ranks: int) -> dict[str, tuple[Entries, ...]]:
    """Different kinds on the first and the last rank, of which the second one counts, by name."""
    return {
        f"{weak.__name__} and {strong.__name__} with {at}": (
            (Raise(weak, at, count),),
            *[()] * (ranks - 2),
            (Raise(strong, at, count),),
        )
        for (at, count), kinds in AT_ONCE.items()
        for weak, strong in itertools.combinations(kinds, 2)
    }


_OUTER = tuple(CANCELS[scope] for scope in ("batch", "train", "epoch", "fit"))
AT_ONCE: dict[tuple[str, int], tuple[type[BaseException], ...]] = {
    ("after_loss", 2): (*_OUTER, ValueError),
    ("begin_backward", 2): (CANCELS["backward"], *_OUTER[:1], CANCELS["epoch"]),
    ("begin_step", 2): (CANCELS["step"], *_OUTER[:1], CANCELS["fit"]),
    ("begin_batch", TRAINING + 1): (CANCELS["batch"], CANCELS["validate"], CANCELS["epoch"]),
    ("begin_epoch", 2): (CANCELS["epoch"], CANCELS["fit"], ValueError),
}
"""For a signal, and which one it is, the kinds that two ranks raise at once: every pair."""


class Dealt(NamedTuple):
    """A plan of distinct moments, and what of it each rank raises."""

    plan: Entries
    parts: tuple[Entries, ...]


def dealt_plans(ranks: int, count: int, seed: int, signals: Sequence[str] = SIGNALS) -> list[Dealt]:
    """Plans of one to four moments, the same in every process."""
    draw = random.Random(seed)
    return [_dealt(draw, ranks, signals) for _ in range(count)]


def _dealt(draw: random.Random, ranks: int, signals: Sequence[str]) -> Dealt:
    kinds = [*CANCELS.values(), ValueError, KeyboardInterrupt]
    points = [(point, n) for point in (*signals, "loader") for n in range(1, EPOCHS * TRAINING + 1)]
    chosen = draw.sample(points, draw.randint(1, 4))
    plan = tuple(Raise(draw.choice(kinds), *moment) for moment in chosen)
    owners = [draw.randrange(ranks) for _ in plan]
    parts = (
        tuple(entry for entry, owner in zip(plan, owners, strict=True) if owner == rank)
        for rank in range(ranks)
    )
    return Dealt(plan, tuple(parts))


FEW_DEALT, FEW_OPEN, ALL_DEALT = 12, 6, 300
SEED = int(os.environ.get("TRACKSIDE_STORM_SEED", "1"))


def open_scenarios(ranks: int, count: int) -> dict[str, Any]:
    """Random plans whose votes stay open in the backward pass, by name."""
    plans = dealt_plans(ranks, count, SEED, OPEN_SIGNALS)
    names = [f"open {place}" for place in range(count)]
    return {
        name: scenario(name, dealt.parts, is_open=True)
        for name, dealt in zip(names, plans, strict=True)
    }


def main(folder: str, what: str) -> None:
    """Run the scenarios and write what came of them."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=GROUP)
    rank, ranks, results = dist.get_rank(), dist.get_world_size(), {}
    if what == "storm":
        for place, dealt in enumerate(dealt_plans(ranks, ALL_DEALT, SEED)):
            results[str(place)] = scenario(f"dealt {place}", dealt.parts)
    elif what == "open":
        results.update(open_scenarios(ranks, ALL_DEALT))
    elif what in ("few", "all"):
        results.update(open_scenarios(ranks, FEW_OPEN))
        for place, dealt in enumerate(dealt_plans(ranks, FEW_DEALT, SEED)):
            results[str(place)] = scenario(f"dealt {place}", dealt.parts)
        for name, plan in plans(ranks, what == "all").items():
            results[name] = scenario(name, plan)
        results["uneven"] = scenario("uneven", (), lengths={0: 2})
    else:
        sent = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[what]
        results[what] = scenario(
            what, (), timeout=SHORT, prepare=lambda rig, rank: kill_one(rig, rank, sent)
        )
    Path(folder, f"{rank}.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # no group of a failed fit is waited for

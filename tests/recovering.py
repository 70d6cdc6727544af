"""Retries and rollbacks written as loops: the second half of the oracle.

`recovered_by_hand(entries)` is the oracle; a `RecoveringRig` runs the same plan on a trainer, with
Snapshots of every second step.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from oracle import (
    SIGNALS,
    TRAINING,
    Batches,
    Entries,
    Plan,
    Result,
    Rig,
    World,
    _Fit,
    _stronger,
    _tensors,
    _told,
)

from trackside import Snapshots, Trainer
from trackside.events import RecoveryError, RetryBatchException, RollbackException

EVERY, KEEP = 2, 2
RECOVERED = ("begin_retry", "begin_rollback", "after_rollback")
RECOVERING_SIGNALS = (*SIGNALS, *RECOVERED)


class Positioned(Batches):
    """A loader that tells and restores its position, and reads nothing to do so."""

    def __init__(self, plan: Plan, count: int, seed: int) -> None:
        super().__init__(plan, count, seed)
        self.start = self.position = 0

    def state_dict(self) -> dict[str, int]:
        """Where the next batch is read."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next pass there."""
        self.start = self.position = state["position"]

    def __iter__(self) -> Iterator[Any]:
        first, self.start = self.start, 0
        return self.reading(first)

    def reading(self, first: int) -> Iterator[Any]:
        """The batches from `first` on."""
        return _Positions(self, first)


class _Positions:
    def __init__(self, loader: Positioned, first: int) -> None:
        self.loader = loader
        loader.position = first

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        loader = self.loader
        loader.plan.pass_by("loader")
        if loader.position == len(loader):
            loader.position = 0
            raise StopIteration
        loader.position += 1
        return loader.batches[loader.position - 1]


class RecoveringWorld(World):
    """A world whose training can be read again."""

    train_loader: Positioned

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.train_loader = Positioned(plan, TRAINING, seed=1)


class RecoveringRig(Rig):
    """A trainer with Snapshots."""

    new_world = RecoveringWorld
    signals = RECOVERING_SIGNALS

    def __init__(self) -> None:
        super().__init__(
            lambda world: Trainer(
                world.model, world.loss_fn, world.optimizer, handlers=[Snapshots(EVERY, KEEP)]
            )
        )

    def begin(self, entries: Entries = (), pauses: Any = ()) -> None:
        """The loader stands at its begin, too."""
        super().begin(entries, pauses)
        self.world.train_loader.load_state_dict({"position": 0})


class Kept(NamedTuple):
    """What a snapshot has."""

    steps: int
    epoch: int
    batch: int
    weights: list[torch.Tensor]
    gradients: list[torch.Tensor | None]
    momentum: dict[str, Any]
    position: int


def recovered_by_hand(entries: Entries = ()) -> Result:
    """The result of a fit, written as loops, in which `entries` are raised."""
    plan = Plan(entries)
    fit = _RecoveringFit(RecoveringWorld(plan), ())
    escaped = None
    try:
        fit.fit()
    except BaseException as error:
        escaped = error
    ends = fit.ends if escaped is None else "failed"
    tensors = _tensors(fit.world.model)
    return Result(plan.log, fit.moments, fit.steps, tensors, _told(escaped), ends)


class _RecoveringFit(_Fit):
    world: RecoveringWorld

    def __init__(self, world: RecoveringWorld, pauses: Any) -> None:
        super().__init__(world, pauses)
        self.kept: list[Kept] = []
        self.left_out: list[tuple[tuple[int, int], tuple[int, int]]] = []
        self.reading: Iterator[Any] | None = None
        self.retryable = self.announced = False

    # retries

    def train_on(self, xb: torch.Tensor, yb: torch.Tensor) -> None:
        self.send_and_attempt(xb, yb, training=True)
        self.update()

    def score(self, xb: torch.Tensor, yb: torch.Tensor) -> torch.Tensor:
        return self.send_and_attempt(xb, yb, training=False)

    def send_and_attempt(self, xb: torch.Tensor, yb: torch.Tensor, training: bool) -> Any:
        """The batch up to its gradients, as often as it is run again."""
        is_first = self.retryable = True
        try:
            while True:
                try:
                    if is_first:
                        self.send("begin_batch")
                    loss = self.attempt(xb, yb)
                    if training:
                        self.differentiate(loss)
                    return loss
                except RetryBatchException as retry:
                    self.announce(retry)
                    is_first = False
        finally:
            self.retryable = False

    def announce(self, retry: RetryBatchException) -> None:
        """Send `begin_retry`, unless it was sent inside of the backward pass."""
        self.retryable = True
        if self.announced:
            self.announced = False
            return
        pending = _stronger(retry, self.tried("begin_retry"))
        if pending is not retry:
            assert pending is not None
            raise pending

    def closing(self, name: str, pending: BaseException | None) -> BaseException | None:
        if name == "backward":
            if isinstance(pending, RetryBatchException):
                pending = _stronger(pending, self.tried("begin_retry"))
            self.announced = self.retryable = isinstance(pending, RetryBatchException)
        return pending

    def judged(self, raised: BaseException) -> BaseException:
        if isinstance(raised, RetryBatchException) and self.retryable:
            return raised
        if isinstance(raised, RetryBatchException):
            return self.illegal(raised)
        return super().judged(raised)

    # rollbacks

    def batches(self) -> Iterator[Any]:
        """`train_batches` reads them."""
        return iter(())

    def train_pass(self, batches: Iterator[Any]) -> bool:
        """Train on a pass, and go back as often as it is rolled back."""
        self.batch, self.reading = -1, None
        begins: str | None = "begin_train"
        while True:
            try:
                if begins is not None:
                    self.send(begins)
                begins = None
                self.train_batches()
                return False
            except RollbackException as rollback:
                self.go_back(rollback)
                begins = "after_rollback"

    def go_back(self, rollback: RollbackException) -> None:
        """Send `begin_rollback`, and restore."""
        pending = _stronger(rollback, self.tried("begin_rollback"))
        if pending is not rollback:
            assert pending is not None
            raise pending
        self.restore(rollback)

    def train_batches(self) -> None:
        """Train on what is left of the pass."""
        while True:
            self.keep_if_due()
            if self.reading is None:
                self.reading = iter(self.world.train_loader)
            try:
                while self.is_left_out():
                    next(self.reading)
                    self.batch += 1
                xb, yb = next(self.reading)
            except StopIteration:
                return
            self.batch += 1
            with self.scope("batch"):
                self.train_on(xb, yb)

    def is_left_out(self) -> bool:
        """Whether the next batch is."""
        return any(one <= (self.epoch, self.batch + 1) <= last for one, last in self.left_out)

    def keep_if_due(self) -> None:
        """What Snapshots does."""
        if self.kept and self.steps < self.kept[-1].steps + EVERY:
            return
        weights = list(self.world.model.parameters())
        kept = Kept(
            self.steps,
            self.epoch,
            self.batch,
            [weight.detach().clone() for weight in weights],
            [None if weight.grad is None else weight.grad.clone() for weight in weights],
            copy.deepcopy(self.world.optimizer.state_dict()),
            -1 if self.reading is None else self.world.train_loader.position,
        )
        self.kept = [*self.kept, kept][-KEEP:]

    def restore(self, rollback: RollbackException) -> None:
        """Be where the newest snapshot was."""
        if not self.kept:
            raise RecoveryError(
                f"RollbackException({rollback.reason!r}, to=None): there is no such snapshot; "
                "steps of state.snapshots: none, attach Snapshots"
            )
        kept, world = self.kept[-1], self.world
        self.left_out.append(((kept.epoch, kept.batch + 1), (self.epoch, self.batch)))
        self.steps, self.epoch, self.batch = kept.steps, kept.epoch, kept.batch
        with torch.no_grad():
            for weight, value, gradient in zip(
                world.model.parameters(), kept.weights, kept.gradients, strict=True
            ):
                weight.copy_(value)
                weight.grad = None if gradient is None else gradient.clone()
        world.optimizer.load_state_dict(copy.deepcopy(kept.momentum))
        if kept.position < 0:
            self.reading = None
        elif kept.batch + 1 == TRAINING:
            self.reading = iter(())
        else:
            self.reading = world.train_loader.reading(kept.position)

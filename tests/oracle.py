"""A fit as nested loops and try/except: what a plan of raised exceptions must come to.

Nothing of the engine is used and there is no machine here: Python's own blocks close the scopes.
`by_hand(entries)` is the oracle; a `Rig` runs the same plan on a trainer; their results compare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from trackside.events import Cancel, IllegalCancelError, RetryBatchException, RollbackException

SCOPES = ("fit", "epoch", "train", "validate", "batch", "backward", "step")
"""Outer ones before inner ones."""
SIGNALS = (
    *(f"{moment}_{scope}" for scope in SCOPES for moment in ("begin", "after_cancel", "after")),
    "after_pred",
    "after_loss",
    "after_error",
)
ACTIVITIES = ("loader", "model", "loss", "score", "backward", "optimizer")
"""The loss function is `loss` where there is a graph to differentiate, `score` where not."""
EPOCHS, TRAINING, VALIDATION = 2, 3, 2


class Raise(NamedTuple):
    """Raise `kind` the n-th time, counted from 1, that `point` is reached."""

    kind: type[BaseException]
    point: str
    n: int


Entries = tuple[Raise, ...]
Pauses = Collection[tuple[int, int]]
"""(epoch, batch) of training batches after which a handler asks for a validation."""


class Moment(NamedTuple):
    """What is told at a signal."""

    signal: str
    epoch: int
    step: int
    batch: int | None
    """None at a signal that concerns no batch."""
    outcome: str | None
    """Of the scope that closes; None at a signal that closes none."""


def _concerns_a_batch(signal: str) -> bool:
    return not signal.endswith(("fit", "epoch", "train", "validate", "error"))


def _closes(signal: str) -> bool:
    return signal.removeprefix("after_") in SCOPES


class Plan:
    """Counts how often each point is reached, logs it, and raises what is planned for it.

    Of two entries for the same moment the first one holds.
    """

    def __init__(self, entries: Entries = ()) -> None:
        self.begin(entries)

    def begin(self, entries: Entries) -> None:
        """Forget what was, and follow `entries`."""
        self.entries = entries
        self.reached: Counter[str] = Counter()
        self.log: list[str] = []

    def reach(self, point: str) -> None:
        """Raise what is planned for this moment."""
        self.reached[point] += 1
        for kind, where, n in self.entries:
            if (where, n) == (point, self.reached[point]):
                raise kind(f"{kind.__name__} at {point} {n}")

    def pass_by(self, point: str) -> None:
        """Log `point`, then reach it."""
        self.log.append(point)
        self.reach(point)


class Batches:
    """A loader of three-to-two regression batches whose iterator reaches `loader`."""

    def __init__(self, plan: Plan, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.plan = plan
        self.batches = [
            (torch.randn(4, 3, generator=generator), torch.randn(4, 2, generator=generator))
            for _ in range(count)
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return _Reading(self.plan, iter(self.batches))


class _Reading:
    """No generator: it can be read on after it has raised."""

    def __init__(self, plan: Plan, batches: Iterator[Any]) -> None:
        self.plan = plan
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.plan.pass_by("loader")
        return next(self.batches)


class _Model(nn.Linear):
    def __init__(self, plan: Plan) -> None:
        super().__init__(3, 2)
        self.plan = plan

    def forward(self, xb: torch.Tensor) -> torch.Tensor:
        self.plan.pass_by("model")
        return super().forward(xb)


class _Momentum(torch.optim.SGD):
    def __init__(self, plan: Plan, model: nn.Module) -> None:
        super().__init__(model.parameters(), lr=0.1, momentum=0.9)
        self.plan = plan

    def step(self, closure: Any = None) -> None:
        self.plan.pass_by("optimizer")
        super().step(closure)


class World:
    """What a fit needs, always the same; each part of it reaches its point of the plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.model = _Model(plan)
        self.optimizer = _Momentum(plan, self.model)
        generator = torch.Generator().manual_seed(0)
        self.initial = [torch.randn(w.shape, generator=generator) for w in self.model.parameters()]
        self.train_loader = Batches(plan, TRAINING, seed=1)
        self.valid_loader = Batches(plan, VALIDATION, seed=2)
        self.rewind()

    def rewind(self) -> None:
        """The weights and the optimizer as they were; gradients are left to the fit."""
        self.optimizer.state.clear()
        with torch.no_grad():
            for weight, initial in zip(self.model.parameters(), self.initial, strict=True):
                weight.copy_(initial)

    def loss_fn(self, pred: torch.Tensor, yb: torch.Tensor) -> torch.Tensor:
        """The mean square error; its backward pass reaches `backward`."""
        self.plan.pass_by("loss" if pred.requires_grad else "score")
        if pred.requires_grad:
            pred.register_hook(lambda gradient: self.plan.pass_by("backward"))
        return (pred - yb).square().mean()


@dataclass(eq=False)
class Result:
    """What came of a fit: equal if nobody could tell the two apart."""

    log: list[str]
    """Signals and activities in their order."""
    moments: list[Moment]
    """What was told at each signal."""
    steps: int
    tensors: list[torch.Tensor | None]
    """Final weights, and the gradients that are left."""
    escaped: tuple[str, ...]
    """Name and message of what escaped, for an illegal cancel those of the cancel; or nothing."""
    ends: str
    """The phase in which the machine rests."""

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Result)
        same = all(map(_same, self.tensors, other.tensors))
        return same and self.told() == other.told()

    __hash__ = None  # type: ignore[assignment]

    def told(self) -> tuple[Any, ...]:
        """All of it but the tensors."""
        return self.log, self.moments, self.steps, self.escaped, self.ends

    @property
    def signals(self) -> list[str]:
        """The log without the activities."""
        return [moment.signal for moment in self.moments]

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Each `after_<scope>`, with the outcome of that scope."""
        return [(m.signal, m.outcome) for m in self.moments if m.outcome is not None]


def _same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


def _tensors(model: nn.Module) -> list[torch.Tensor | None]:
    weights = list(model.parameters())
    gradients = [None if weight.grad is None else weight.grad.clone() for weight in weights]
    return [*(weight.detach().clone() for weight in weights), *gradients]


def _told(error: BaseException | None) -> tuple[str, ...]:
    if isinstance(error, IllegalCancelError):
        return ("IllegalCancelError", *_told(error.__cause__))
    return () if error is None else (type(error).__name__, str(error))


class Rig:
    """A trainer on a world of its own; at each signal the recorder hears it, then the raiser."""

    new_plan = Plan
    new_world = World
    signals: tuple[str, ...] = SIGNALS

    def __init__(self, trainer_of: Callable[[World], Any]) -> None:
        self.plan = self.new_plan()
        self.world = self.new_world(self.plan)
        self.trainer = trainer_of(self.world)
        self.moments: list[Moment] = []
        self.pauses: Pauses = ()
        for signal in self.signals:
            self.trainer.on(signal)(self._recorder(signal))
            self.trainer.on(signal)(lambda trainer, state, signal=signal: self.plan.reach(signal))
        self.trainer.on("after_batch")(self._pause)

    def run(self, entries: Entries = (), pauses: Pauses = ()) -> Result:
        """The result of a fit from the first weights on in which `entries` are raised."""
        self.begin(entries, pauses)
        escaped = None
        try:
            self.trainer.fit(self.world.train_loader, self.world.valid_loader, epochs=EPOCHS)
        except BaseException as error:
            escaped = error
        return self.result(escaped)

    def begin(self, entries: Entries = (), pauses: Pauses = ()) -> None:
        """Ready for another fit, which the caller drives."""
        self.plan.begin(entries)
        self.world.rewind()
        self.moments = []
        self.pauses = pauses

    def result(self, escaped: BaseException | None = None) -> Result:
        """What has come of it so far."""
        state, log = self.trainer.state, self.plan.log
        tensors = _tensors(self.world.model)
        return Result(log, self.moments, state.step, tensors, _told(escaped), state.phase)

    def _recorder(self, signal: str) -> Callable[[Any, Any], None]:
        def record(trainer: Any, state: Any) -> None:
            batch = state.batch_index if _concerns_a_batch(signal) else None
            outcome = state.outcome if _closes(signal) else None
            self.plan.log.append(signal)
            self.moments.append(Moment(signal, state.epoch, state.step, batch, outcome))

        return record

    def _pause(self, trainer: Any, state: Any) -> None:
        if state.training and (state.epoch, state.batch_index) in self.pauses:
            state.validate_next = True


def assert_nested(signals: Iterable[str]) -> None:
    """Check that each `after_<scope>` closes the scope opened last, and that all are closed."""
    open_scopes: list[str] = []
    for signal in signals:
        moment, _, scope = signal.rpartition("_")
        if moment == "begin":
            open_scopes.append(scope)
        elif moment == "after_cancel":
            assert open_scopes[-1] == scope
        elif scope in SCOPES:
            assert open_scopes.pop() == scope
        elif scope == "error":
            assert len(open_scopes) <= 1
    assert open_scopes == []


def by_hand(entries: Entries = (), pauses: Pauses = ()) -> Result:
    """The result of a fit, written as loops, in which `entries` are raised."""
    plan = Plan(entries)
    world = World(plan)
    fit = _Fit(world, pauses)
    escaped = None
    try:
        fit.fit()
    except BaseException as error:
        escaped = error
    ends = fit.ends if escaped is None else "failed"
    tensors = _tensors(world.model)
    return Result(plan.log, fit.moments, fit.steps, tensors, _told(escaped), ends)


def _stronger(pending: BaseException | None, new: BaseException | None) -> BaseException | None:
    """Of two requests to stop the one that asks for more; of equals the first."""
    return new if _strength(new) > _strength(pending) else pending


def _strength(request: BaseException | None) -> float:
    """Nothing, a cancel of an inner scope … of the fit, an error, an interrupt.

    To go back is less than to stop: a retry than any cancel, a rollback than that of the training.
    """
    if isinstance(request, RetryBatchException):
        return 0.5
    if isinstance(request, RollbackException):
        return len(SCOPES) - SCOPES.index("train") - 0.5
    if isinstance(request, Cancel):
        return len(SCOPES) - SCOPES.index(request.scope)
    if request is None:
        return 0
    return 100 if isinstance(request, Exception) else 200


class _Fit:
    def __init__(self, world: World, pauses: Pauses) -> None:
        self.world = world
        self.pauses = pauses
        self.open: list[str] = []
        self.moments: list[Moment] = []
        self.epoch, self.batch, self.steps = -1, -1, 0
        self.error_sent = False
        self.ends = "completed"

    def fit(self) -> None:
        world, scope = self.world, self.scope
        world.optimizer.zero_grad()
        with scope("fit"):
            self.send("begin_fit")
            while self.epoch + 1 < EPOCHS:
                self.epoch += 1
                with scope("epoch"):
                    self.send("begin_epoch")
                    batches, paused = self.batches(), True
                    while paused:
                        paused = False
                        with scope("train"):
                            paused = self.train_pass(batches)
                        with scope("validate"), torch.no_grad():
                            self.send("begin_validate")
                            for self.batch, (xb, yb) in enumerate(world.valid_loader):
                                with scope("batch"):
                                    self.score(xb, yb)

    def batches(self) -> Iterator[tuple[int, Any]]:
        """A pass over the training data."""
        return enumerate(self.world.train_loader)

    def train_pass(self, batches: Iterator[tuple[int, Any]]) -> bool:
        """Train on the rest of a pass; True: it pauses for a validation."""
        self.send("begin_train")
        for self.batch, (xb, yb) in batches:
            with self.scope("batch"):
                self.train_on(xb, yb)
            if (self.epoch, self.batch) in self.pauses:
                return True
        return False

    def train_on(self, xb: torch.Tensor, yb: torch.Tensor) -> None:
        self.differentiate(self.score(xb, yb))
        self.update()

    def differentiate(self, loss: torch.Tensor) -> None:
        with self.scope("backward"):
            self.send("begin_backward")
            loss.backward()

    def update(self) -> None:
        optimizer, stepped = self.world.optimizer, False
        try:
            with self.scope("step"):
                self.send("begin_step")
                optimizer.step()
                self.steps += 1
                stepped = True
        finally:  # gradients are not used twice, whatever is raised after the step
            if stepped:
                optimizer.zero_grad()

    def score(self, xb: torch.Tensor, yb: torch.Tensor) -> torch.Tensor:
        self.send("begin_batch")
        return self.attempt(xb, yb)

    def attempt(self, xb: torch.Tensor, yb: torch.Tensor) -> torch.Tensor:
        pred = self.world.model(xb)
        self.send("after_pred")
        loss = self.world.loss_fn(pred, yb)
        self.send("after_loss")
        return loss

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Whatever ends the block closes the scope; what does not end with it goes on outwards."""
        pending: BaseException | None = None
        self.open.append(name)
        try:
            yield
        except BaseException as raised:
            pending = self.closing(name, self.judged(raised))
        else:
            pending = self.closing(name, None)
        self.open.pop()  # from here on it is too late to cancel it
        cancelled = isinstance(pending, Cancel) and pending.scope == name
        if cancelled:
            pending = self.tried(f"after_cancel_{name}")
        if name == "fit":
            pending = self.with_error_sent(pending)
        outcome = _outcome(pending, cancelled)
        pending = _stronger(pending, self.tried(f"after_{name}", outcome))
        if name == "fit":
            self.ends = "cancelled" if cancelled else "completed"
            pending = self.with_error_sent(pending)
        if pending is not None:
            raise pending

    def closing(self, name: str, pending: BaseException | None) -> BaseException | None:
        """What is pending, before a scope closes."""
        return pending

    def with_error_sent(self, pending: BaseException | None) -> BaseException | None:
        """Nothing but an error is left pending where the fit closes: tell it once."""
        if pending is None or self.error_sent:
            return pending
        self.error_sent = True
        return _stronger(pending, self.tried("after_error"))

    def tried(self, signal: str, outcome: str | None = None) -> BaseException | None:
        """Send `signal`; what a receiver raised."""
        try:
            self.send(signal, outcome)
        except BaseException as raised:
            return self.judged(raised)
        return None

    def send(self, signal: str, outcome: str | None = None) -> None:
        batch = self.batch if _concerns_a_batch(signal) else None
        self.moments.append(Moment(signal, self.epoch, self.steps, batch, outcome))
        self.world.plan.pass_by(signal)

    def judged(self, raised: BaseException) -> BaseException:
        """`raised`; the error that it is, if it cancels a scope that is not open."""
        if not isinstance(raised, Cancel) or raised.scope in self.open:
            return raised
        return self.illegal(raised)

    def illegal(self, raised: BaseException) -> IllegalCancelError:
        """The error of a cancel that is not legal where it was raised."""
        illegal = IllegalCancelError(str(raised))
        illegal.__cause__ = raised
        return illegal


def _outcome(pending: BaseException | None, cancelled: bool) -> str:
    if pending is None and not cancelled:
        return "completed"
    return "cancelled" if pending is None or isinstance(pending, Cancel) else "failed"

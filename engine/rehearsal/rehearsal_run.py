"""Rehearse a fit of a trainer: by a second trainer, which calls no model."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...events import TrainState, Transition
from ...events.bus.order import Receiver, receiver_name
from ...events.bus.subscribing_again import subscribe_again
from ...events.rehearsal import RehearsalPlan
from ...events.utils.closure_check import needs_closure
from ..evaluating_engine import EvaluatingEngine
from ..fit_state.rollback import remember
from ..loop.activity_registry import ActivityRegistry
from ..randomness.rng_state import preserve_generators
from ..statechart.compiled_table import Activity
from .planned_store import PlansSaves
from .stand_in_activities import stand_ins
from .stand_in_loader import stand_in_loaders
from .stand_in_parts import bytes_of_fit, copied_parts, without_values


@dataclass
class Rehearsed:
    """A trainer, with what a rehearsal needs of it.

    Attributes:
        given: the activities of the author of its chart.
        fit: its method.
    """

    trainer: EvaluatingEngine
    registry: ActivityRegistry
    given: Mapping[str, Activity]
    fit: Callable[..., TrainState]

    @classmethod
    def of(cls, trainer: Any) -> Rehearsed:
        """A Trainer as one."""
        return cls(trainer, trainer._registry, trainer._given, trainer.fit)


def rehearse(
    trainer: Any,
    twin_of: Callable[[dict[str, Any], type], Any],
    train_loader: Any,
    valid_loader: Any,
    epochs: int | None,
    batches_per_epoch: int | None,
) -> RehearsalPlan:
    """See `Trainer.rehearse`.

    Args:
        trainer: a Trainer.
        twin_of: makes one without handlers, of the stand-ins of models and optimizers, and with a
            first base class.
    """
    original, plan, state = Rehearsed.of(trainer), RehearsalPlan(), trainer.state
    with remember(original.trainer), preserve_generators([]), _noted_warnings(plan):
        loaders = stand_in_loaders(state, train_loader, valid_loader, batches_per_epoch)
        memo = without_values(state)
        made = twin_of(copied_parts(state, memo), PlansSaves)
        made.plan, made.verbose = plan, False
        twin = Rehearsed.of(made)
        memo |= {id(original.trainer): twin.trainer, id(state): twin.trainer.state}
        memo |= {id(loader): loader for loader in (train_loader, valid_loader)}
        plan.state_bytes = bytes_of_fit(twin.trainer.state)
        _replace_activities(twin, plan)
        _attach_all(original, twin.trainer, memo, plan)
        plan.receivers = _receivers(twin.trainer)
        _run(twin, plan, (*loaders, epochs, batches_per_epoch))
    plan.check_space()
    return plan


def _replace_activities(twin: Rehearsed, plan: RehearsalPlan) -> None:
    def note_rate_and_step(state: TrainState) -> None:
        optimizer = state.optimizer
        if optimizer is not None:
            rate = float(optimizer.param_groups[0].get("lr", 0.0))
            plan.rates.setdefault(state.of, []).append(rate)
            if not math.isfinite(rate):
                raise ValueError(f"the learning rate of update {state.step + 1} is {rate}")
            if not needs_closure(optimizer):
                optimizer.step()  # without gradients: what counts its steps sees one

    found = stand_ins(twin.trainer.topology, twin.registry, twin.given, note_rate_and_step)
    for leaf, activity in list(found):
        twin.registry.replace(leaf, activity)


def _attach_all(
    original: Rehearsed, twin: EvaluatingEngine, memo: dict[int, Any], plan: RehearsalPlan
) -> None:
    """Attach copies of the handlers; subscribe the functions themselves."""
    subscribed = original.trainer.handlers
    ids = {*map(id, subscribed)}
    for name, wrapper in original.registry.wraps_without(ids):
        twin.wrap(name, wrapper)
    for each in subscribed:
        if id(getattr(each, "__self__", None)) in ids:
            continue  # a method that its handler subscribes when it is attached
        if not subscribe_again(each, original.trainer, twin):
            _attach(each, twin, memo, plan)


def _attach(
    handler: Any, twin: EvaluatingEngine, memo: dict[int, Any], plan: RehearsalPlan
) -> None:
    try:
        stand_in = _stand_in(handler, memo, plan)
        if stand_in is not None:
            twin.attach(stand_in)
    except Exception as error:
        plan.problems.append(f"{type(handler).__name__}: {_text(error)}")


def _stand_in(handler: Any, memo: dict[int, Any], plan: RehearsalPlan) -> Any:
    """What runs in place of a handler; None: nothing."""
    if hasattr(handler, "rehearse"):
        return handler.rehearse(plan)
    try:
        stand_in = copy.deepcopy(handler, memo)
    except Exception as error:
        plan.leave_out(handler, f"it cannot be copied: {_text(error)}")
        return None
    vars(stand_in)["on_error"] = "raise"  # an error is what a rehearsal is to find
    return stand_in


def _receivers(twin: EvaluatingEngine) -> dict[str, list[str]]:
    """By signal, the receivers that are connected to it, in order."""
    found = {
        name: [receiver_name(receiver) for receiver, _ in signal.arranged(twin)]
        for name, signal in twin.signals.items()
    }
    return {name: names for name, names in found.items() if names}


def _run(twin: Rehearsed, plan: RehearsalPlan, arguments: tuple[Any, ...]) -> None:
    trainer, state = twin.trainer, twin.trainer.state
    trainer.on("any_transition")(_recording(plan))
    trainer.instrument(_guarded(plan))
    try:
        twin.fit(*arguments)
    except Exception as error:
        plan.problems.append(_text(error))
    plan.outcome = state.outcome


def _recording(plan: RehearsalPlan) -> Receiver:
    def record(trainer: Any, state: TrainState, transition: Transition) -> None:
        plan.transitions[transition.trigger] += 1
        if transition.trigger == "begin_validate":
            name = "" if state.evaluation == "valid" else f" of {state.evaluation}"
            plan.will_do(state, f"validation{name}")
        if transition.trigger.startswith("after_cancel_") and state.cancel is not None:
            plan.will_do(state, f"{state.cancel.scope} cancelled: {state.cancel}")

    return record


def _guarded(plan: RehearsalPlan) -> Callable[[Receiver, Transition], Receiver]:
    """An instrument: the first error of a receiver is a problem, and it is not called again."""
    failed: set[str] = set()

    def around(receiver: Receiver, transition: Transition) -> Receiver:
        name = receiver_name(receiver)

        def call(trainer: Any, state: TrainState) -> None:
            if name in failed:
                return
            try:
                receiver(trainer, state)
            except Exception as error:
                failed.add(name)
                where = f"epoch {state.epoch + 1}, batch {state.batch_index + 1}"
                plan.problems.append(f"{name} raised in {where}: {_text(error)}")

        call.__wrapped__ = receiver  # type: ignore[attr-defined]  # as instruments have it
        return call

    return around


@contextmanager
def _noted_warnings(plan: RehearsalPlan) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    plan.remarks += dict.fromkeys(str(warning.message) for warning in caught)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

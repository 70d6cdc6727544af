"""The optimizer or model that a handler acts on, where a trainer has several by name.

A handler keeps the name in its attribute `of`; None means the only one, or whichever is current.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ..events import AttachError, TrainerProtocol, TrainState
from ..events.utils.closure_check import needs_closure
from ..events.utils.similar_names import did_you_mean


def checked_name(owner: str, of: Any) -> str | None:
    """Check the argument `of` of a handler.

    Raises:
        TypeError: it is neither a name nor None.
    """
    if of is None or (isinstance(of, str) and of):
        return of
    raise TypeError(f"{owner}(of={of!r}): allowed: the name of an optimizer or model, or None")


def check_target(handler: Any, trainer: TrainerProtocol, needed: bool = True) -> None:
    """Check when a handler is attached that its `of` names an optimizer that the chart trains.

    Args:
        needed: whether it has to say which one, if there are several.

    Raises:
        AttachError: there is none of this name; or several, and it does not say which; or no scope
            of the chart trains it, so that the handler would do nothing.
    """
    _check_name(handler, trainer.state.optimizers, "optimizer", needed)
    _check_trained(handler, trainer)


def check_model_target(handler: Any, trainer: TrainerProtocol) -> None:
    """The same for a handler of a model: of the only model it may name one of the optimizers."""
    state = trainer.state
    if state.models:
        _check_name(handler, state.models, "model", needed=True)
    else:
        _check_name(handler, state.optimizers, "optimizer", needed=False)
    _check_trained(handler, trainer)


def _check_name(handler: Any, names: Collection[str], what: str, needed: bool) -> None:
    owner, of = type(handler).__name__, handler.of
    if of is None:
        if needed and len(names) > 1:
            raise AttachError(
                f"{owner}: this trainer has several {what}s: {', '.join(names)}; say which one "
                f'it acts on: {owner}(…, of="{next(iter(names))}")'
            )
    elif of not in names:
        known = f"its {what}s are {', '.join(names)}" if names else f"its {what} has no name"
        raise AttachError(
            f"{owner}(of={of!r}): this trainer has no {what} {of!r}"
            f"{did_you_mean(of, names)}; {known}"
        )


def _check_trained(handler: Any, trainer: TrainerProtocol) -> None:
    """Refuse the name of an optimizer that no scope trains, though scopes train others by name."""
    of, trained = handler.of, trainer.topology.trained
    if of in trainer.state.optimizers and trained and of not in trained:
        raise AttachError(
            f"{type(handler).__name__}(of={of!r}): no scope of this trainer's chart trains {of!r}, "
            f"so it would do nothing; its scopes train {', '.join(trained)}"
        )


class OptimizerTarget:
    """Base of handlers that have to know on which optimizer they act.

    Attributes:
        of: its name; None: the only one.
    """

    of: str | None = None

    def attached(self, trainer: TrainerProtocol) -> None:
        check_target(self, trainer)


def refuse_closure(handler: Any, state: TrainState, why: str) -> None:
    """Refuse, when a handler is attached, an optimizer that steps through a closure.

    Raises:
        AttachError: says `why`.
    """
    found = optimizer_of(state, handler.of)
    if needs_closure(found):
        raise AttachError(
            f"{type(handler).__name__}: {type(found).__name__} evaluates each batch several times "
            f"through a closure; {why}"
        )


def optimizer_of(state: TrainState, of: str | None) -> Optimizer | None:
    """The optimizer of a name; without a name the current one."""
    return state.optimizer if of is None else state.optimizers.get(of, state.optimizer)


def model_of(state: TrainState, of: str | None) -> nn.Module:
    """The model of a name; without a name the current one."""
    return state.model if of is None else state.models.get(of, state.model)


def run_modules(state: TrainState) -> list[nn.Module]:
    """All models, and the loss functions that are modules."""
    losses = state.loss_fns.values() or (state.loss_fn,)
    parts = [*(state.models.values() or (state.model,)), *losses]
    return [part for part in parts if isinstance(part, nn.Module)]


def is_own_update(state: TrainState, of: str | None) -> bool:
    """Whether the current optimizer is that of a name.

    True without a name, and for a model that has no optimizer of its own name.
    """
    if of is None or of not in state.optimizers:
        return True
    return state.of == of if state.of else state.optimizer is state.optimizers[of]


def count_step(state: TrainState, counts: dict[str, int]) -> int:
    """The number of steps of the same update before this one; to be called once at begin_step.

    Args:
        counts: of the steps of named updates; emptied by the handler when a fit begins.
    """
    if not state.of:
        return state.step
    number = counts.get(state.of, 0)
    counts[state.of] = number + 1
    return number

"""Which optimizers step through a closure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer


def needs_closure(optimizer: Optimizer | None) -> bool:
    """Whether `optimizer.step` cannot be called without a closure, such as that of LBFGS.

    The closure evaluates the live batch again: clears the gradients, runs the model and the loss,
    computes the gradients, returns the loss.
    """
    step = getattr(type(optimizer), "step", None)  # None: no optimizer; a fit refuses it
    return step is not None and _has_required_argument(step)


@lru_cache
def _has_required_argument(step: Callable[..., Any]) -> bool:
    _, *arguments = inspect.signature(step).parameters.values()
    named = [each for each in arguments if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    return any(each.default is each.empty for each in named)

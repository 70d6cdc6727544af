"""Bind a receiver of every transition to one of them."""

from __future__ import annotations

import functools
from typing import Any

from ..transition import Transition
from .order import Receiver


def bind_transition(receiver: Receiver, transition: Transition) -> Receiver | None:
    """A receiver of `any_transition` as `f(trainer, state)` for one transition.

    A handler, or a receiver, may have a method `for_transition(transition)`. It is called whenever
    a route is updated, and can prepare what would otherwise be done at each send; if it returns
    None, nothing is called for this transition.
    """
    owner = getattr(receiver, "__self__", receiver)
    prepare = getattr(owner, "for_transition", None)
    if prepare is None:

        @functools.wraps(receiver)
        def call(trainer: Any, state: Any) -> None:
            receiver(trainer, state, transition)

        return call
    prepared: Receiver | None = prepare(transition)
    return prepared


def raising(error: BaseException) -> Receiver:
    """A receiver that raises `error`, in place of one that could not be prepared."""

    def fail(trainer: Any, state: Any) -> None:
        raise error

    return fail

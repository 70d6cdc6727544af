"""A receiver of every transition, as it is called for one of them."""

from __future__ import annotations

import functools

from .order import Receiver
from .transition import Transition


def bound(receiver: Receiver, transition: Transition) -> Receiver | None:
    """`receiver` of `any_transition`, as `f(trainer, state)` for one transition.

    A handler, or a receiver, that has a method `for_transition(transition)` is asked for it, once
    for each time that the route is made, and can prepare what it would otherwise do each time;
    with None it says that it does not hear this one.
    """
    owner = getattr(receiver, "__self__", receiver)
    prepare = getattr(owner, "for_transition", None)
    if prepare is None:
        return functools.partial(receiver, transition=transition)
    prepared: Receiver | None = prepare(transition)
    return prepared

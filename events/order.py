"""The order in which the receivers of a signal run: declared, never numbered.

A handler class, or a function, may carry `runs_after` and `runs_before`: names of handler classes
or functions. Declared constraints come first, then the order of connection: at each place stands
the earliest connected receiver all of whose predecessors have their place. Receivers that close a
scope (`closes_scope`) come last, in the reverse of their order: last in, first out.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

Receiver = Callable[..., Any]


class OrderError(ValueError):
    """Declared constraints contradict each other; the message prints the cycle."""


class Place(NamedTuple):
    """A receiver's place in the order, and why it stands there."""

    receiver: Receiver
    reason: str


def unwrapped(receiver: Receiver) -> Receiver:
    """What was subscribed, below the filters, guards and partials put around it."""
    while True:
        if isinstance(receiver, functools.partial):
            receiver = receiver.func
        elif hasattr(receiver, "__wrapped__"):
            receiver = receiver.__wrapped__
        else:
            return receiver


def owner_of(receiver: Receiver) -> Any:
    """The handler object of a bound method; the callable itself otherwise."""
    inner = unwrapped(receiver)
    return getattr(inner, "__self__", inner)


def receiver_name(receiver: Receiver) -> str:
    """`EarlyStopping.after_epoch`, `my_function`: for messages and for the order."""
    inner = unwrapped(receiver)
    owner = getattr(inner, "__self__", None)
    name = getattr(inner, "__name__", type(inner).__name__)
    return f"{type(owner).__name__}.{name}" if owner is not None else name


def _names(receiver: Receiver) -> set[str]:
    owner = owner_of(receiver)
    own = getattr(owner, "__name__", None)
    return {cls.__name__ for cls in type(owner).__mro__} | ({own} if own else set())


def _declared(receiver: Receiver, attribute: str) -> frozenset[str]:
    names = getattr(owner_of(receiver), attribute, ())
    return frozenset((names,) if isinstance(names, str) else names)


def _predecessors(receivers: Sequence[Receiver]) -> list[dict[int, str]]:
    """For each receiver the indices of those that must run before it, with the reason."""
    found: list[dict[int, str]] = [{} for _ in receivers]
    after = [_declared(r, "runs_after") for r in receivers]
    before = [_declared(r, "runs_before") for r in receivers]
    if not any(after) and not any(before):
        return found
    by_name: dict[str, list[int]] = {}
    for i, receiver in enumerate(receivers):
        for name in _names(receiver):
            by_name.setdefault(name, []).append(i)

    def others(i: int, names: Iterable[str]) -> Iterable[int]:
        named = (j for name in names for j in by_name.get(name, ()))
        return (j for j in named if owner_of(receivers[j]) is not owner_of(receivers[i]))

    for i, receiver in enumerate(receivers):
        for j in others(i, after[i]):
            found[i][j] = f"declares that it runs after {receiver_name(receivers[j])}"
        for j in others(i, before[i]):
            found[j].setdefault(i, f"{receiver_name(receiver)} declares that it runs before it")
    return found


def _cycle(receivers: Sequence[Receiver], waiting: dict[int, dict[int, str]]) -> str:
    path = [next(iter(waiting))]
    while path[-1] not in path[:-1]:
        path.append(next(j for j in waiting[path[-1]] if j in waiting))
    loop = path[path.index(path[-1]) :]
    return " runs after ".join(receiver_name(receivers[i]) for i in loop)


def _sorted(receivers: Sequence[Receiver], signal: str) -> list[Place]:
    predecessors = _predecessors(receivers)
    waiting = {i: dict(before) for i, before in enumerate(predecessors) if before}
    followers: dict[int, list[int]] = {}
    for i, before in waiting.items():
        for j in before:
            followers.setdefault(j, []).append(i)
    ready = [i for i in range(len(receivers)) if i not in waiting]
    places = []
    while ready:
        i = heapq.heappop(ready)
        reason = "; ".join(predecessors[i].values()) or "order of connection"
        places.append(Place(receivers[i], reason))
        for follower in followers.get(i, ()):
            del waiting[follower][i]
            if not waiting[follower]:
                del waiting[follower]
                heapq.heappush(ready, follower)
    if waiting:
        raise OrderError(
            f"the order of the receivers of {signal} goes round in a circle: "
            f"{_cycle(receivers, waiting)}; drop one of the declared runs_after or runs_before"
        )
    return places


def arrange(receivers: Iterable[Receiver], signal: str) -> list[Place]:
    """Every receiver once, in the order in which it runs.

    Raises:
        OrderError: the declared constraints form a cycle.
    """
    opening: list[Receiver] = []
    closing: list[Receiver] = []
    for receiver in receivers:
        (closing if getattr(receiver, "closes_scope", False) else opening).append(receiver)
    last = [
        Place(place.receiver, "closes a scope: last in, first out")
        for place in reversed(_sorted(closing, signal))
    ]
    return _sorted(opening, signal) + last

"""The order in which the receivers of a signal run: declared, never numbered.

A handler class, or a function, may have `runs_after` and `runs_before`: names of handler classes
or functions. The order is a stable topological sort: declared constraints first, then the order of
connection. Receivers that close a scope (`closes_scope`) run last, in reverse order: last in, first
out.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

Receiver = Callable[..., Any]


class OrderError(ValueError):
    """Declared constraints contradict each other; the message prints the cycle."""


class OrderedReceiver(NamedTuple):
    """One receiver of a sorted list, and the reason for its position."""

    receiver: Receiver
    reason: str


def unwrapped(receiver: Receiver) -> Receiver:
    """The subscribed callable, without filters, error policies and partials around it."""
    while True:
        if isinstance(receiver, functools.partial):
            receiver = receiver.func
        elif hasattr(receiver, "__wrapped__"):
            receiver = receiver.__wrapped__
        else:
            return receiver


def owner_of(receiver: Receiver) -> Any:
    """The handler of a bound method; for other receivers the callable itself."""
    inner = unwrapped(receiver)
    return getattr(inner, "__self__", inner)


def receiver_name(receiver: Receiver) -> str:
    """The name for messages: `EarlyStopping.after_epoch`, `my_function`."""
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


def predecessors(receivers: Sequence[Receiver]) -> list[dict[int, str]]:
    """For each receiver, the indices of those that must run before it, with the reason."""
    reasons: list[dict[int, str]] = [{} for _ in receivers]
    after = [_declared(r, "runs_after") for r in receivers]
    before = [_declared(r, "runs_before") for r in receivers]
    if not any(after) and not any(before):
        return reasons
    by_name: dict[str, list[int]] = {}
    for i, receiver in enumerate(receivers):
        for name in _names(receiver):
            by_name.setdefault(name, []).append(i)

    def others(i: int, names: Iterable[str]) -> Iterable[int]:
        named = (j for name in names for j in by_name.get(name, ()))
        return (j for j in named if owner_of(receivers[j]) is not owner_of(receivers[i]))

    for i, receiver in enumerate(receivers):
        for j in others(i, after[i]):
            reasons[i][j] = f"declares that it runs after {receiver_name(receivers[j])}"
        for j in others(i, before[i]):
            reasons[j].setdefault(i, f"{receiver_name(receiver)} declares that it runs before it")
    return reasons


def _cycle(receivers: Sequence[Receiver], waiting: dict[int, dict[int, str]]) -> str:
    path = [next(iter(waiting))]
    while path[-1] not in path[:-1]:
        path.append(next(j for j in waiting[path[-1]] if j in waiting))
    loop = path[path.index(path[-1]) :]
    return " runs after ".join(receiver_name(receivers[i]) for i in loop)


def _topological_sort(receivers: Sequence[Receiver], signal: str) -> list[OrderedReceiver]:
    if not receivers:  # most signals
        return []
    before_each = predecessors(receivers)
    waiting = {i: dict(before) for i, before in enumerate(before_each) if before}
    followers: dict[int, list[int]] = {}
    for i, before in waiting.items():
        for j in before:
            followers.setdefault(j, []).append(i)
    ready = [i for i in range(len(receivers)) if i not in waiting]
    ordered = []
    while ready:
        i = heapq.heappop(ready)
        reason = "; ".join(before_each[i].values()) or "order of connection"
        ordered.append(OrderedReceiver(receivers[i], reason))
        for follower in followers.get(i, ()):
            del waiting[follower][i]
            if not waiting[follower]:
                del waiting[follower]
                heapq.heappush(ready, follower)
    if waiting:
        raise OrderError(
            f"the declared order of the receivers of {signal} has a cycle: "
            f"{_cycle(receivers, waiting)}; drop one of the declared runs_after or runs_before"
        )
    return ordered


def arrange(receivers: Iterable[Receiver], signal: str) -> list[OrderedReceiver]:
    """Sort receivers into the order in which they run.

    Raises:
        OrderError: the declared constraints form a cycle.
    """
    closing: list[Receiver] = []
    others: list[Receiver] = []
    for receiver in receivers:
        (closing if getattr(receiver, "closes_scope", False) else others).append(receiver)
    last = [
        OrderedReceiver(ordered.receiver, "closes a scope: last in, first out")
        for ordered in reversed(_topological_sort(closing, signal))
    ]
    return _topological_sort(others, signal) + last


def receivers_after(receivers: Sequence[Receiver], raising: Receiver) -> Iterator[Receiver]:
    """The receivers that come after the one that raised; all of them, if none of them did."""
    place = next((n for n, receiver in enumerate(receivers) if receiver is raising), -1)
    return iter(receivers[place + 1 :])

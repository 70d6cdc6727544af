"""Weak references to receivers of all kinds."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any

from .order import Receiver


class _MethodReference(weakref.ref[Any]):
    """A weak reference to a bound method.

    `weakref.WeakMethod` complains to stderr when an instance and its class die together.
    """

    __slots__ = ("_function",)
    _function: weakref.ref[Any]

    def __new__(cls, method: Any, callback: Callable[[Any], None] | None) -> _MethodReference:
        made = super().__new__(cls, method.__self__, callback)
        made._function = weakref.ref(method.__func__)
        return made

    def __call__(self) -> Any:
        owner, function = super().__call__(), self._function()
        return None if owner is None or function is None else function.__get__(owner)


def reference(
    receiver: Receiver, callback: Callable[[Any], None] | None = None
) -> weakref.ref[Any]:
    """A weak reference to a function, a callable object, or a bound method."""
    if inspect.ismethod(receiver):
        return _MethodReference(receiver, callback)
    return weakref.ref(receiver, callback)


class Weakly:
    """Calls a receiver without keeping it alive; does nothing once it is gone."""

    def __init__(self, receiver: Receiver) -> None:
        self._ref = reference(receiver)

    @property
    def __wrapped__(self) -> Receiver | None:
        return self._ref()

    def __call__(self, sender: Any, state: Any, **extra: Any) -> None:
        receiver = self._ref()
        if receiver is not None:
            receiver(sender, state=state, **extra)

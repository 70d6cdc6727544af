"""Weak references to receivers of all kinds."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Collection
from typing import Any

from .order import Receiver
from .receiver_call import accepts_positions


class _MethodReference(weakref.ref[Any]):
    """A weak reference to a bound method.

    `weakref.WeakMethod` prints to stderr when an instance and its class are deleted together.
    """

    __slots__ = ("_function",)
    _function: weakref.ref[Any]

    def __new__(cls, method: Any, callback: Callable[[Any], None] | None) -> _MethodReference:
        reference = super().__new__(cls, method.__self__, callback)
        reference._function = weakref.ref(method.__func__)
        return reference

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


class WeakReceiver:
    """Calls a receiver without keeping it alive; does nothing after it was deleted."""

    def __init__(self, receiver: Receiver, payload: Collection[str]) -> None:
        self._reference = reference(receiver)
        self._named = None if accepts_positions(receiver, payload) else tuple(payload)

    @property
    def __wrapped__(self) -> Receiver | None:
        return self._reference()

    def __call__(self, sender: Any, *values: Any) -> None:
        receiver = self._reference()
        if receiver is None:
            return
        if self._named is None:
            receiver(sender, *values)
        else:
            receiver(sender, **dict(zip(self._named, values, strict=True)))

"""Subscribe a function to another sender in the ways in which it is subscribed to one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..signal_names import OwnName
from ..signals import NON_TRIGGER_SIGNALS
from .filters import FilteredReceiver, OnceReceiver
from .handler_discovery import BEGIN
from .order import Receiver
from .publisher import Publisher


def subscribe_again(function: Any, source: Publisher, target: Publisher) -> bool:
    """Subscribe `function` to `target` as to `source`: signals, scopes, filters that count anew.

    Returns:
        Whether it is a function that is subscribed to `source`, and no handler.

    Raises:
        AttachError: `target` does not send a signal, or has no scope, of `source`.
    """
    found = False
    for name, signal in {**source.signals, **NON_TRIGGER_SIGNALS}.items():
        for receiver, _ in signal.arranged(source):
            layers = list(_layers(receiver, function))
            if layers[-1] == function:
                found = True
                _subscribe(function, name, layers[:-1], target)
    return found


def _layers(receiver: Receiver, function: Any) -> Iterator[Any]:
    """What is around the function, from outside, and the function; or all layers of another."""
    while receiver != function and hasattr(receiver, "__wrapped__"):
        yield receiver
        receiver = receiver.__wrapped__
    yield receiver


def _subscribe(function: Any, name: str, around: list[Any], target: Publisher) -> None:
    if any(hasattr(layer, "closes_scope") for layer in around):
        return
    if any(hasattr(layer, "opens_scope") for layer in around):
        target.within(OwnName(name.removeprefix(BEGIN)))(function)
        return
    filters = [layer for layer in around if isinstance(layer, FilteredReceiver)]
    once = any(isinstance(layer, OnceReceiver) for layer in around)
    every, when = (filters[0].every, filters[0].when) if filters else (1, None)
    target.on(OwnName(name), every=every, when=when, once=once)(function)

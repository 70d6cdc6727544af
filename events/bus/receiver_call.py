"""Call a receiver by position or by keyword, whatever its parameters are called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Collection
from typing import Any

from .order import Receiver


def by_position(receiver: Receiver, payload: Collection[str]) -> Receiver:
    """`receiver` as `f(sender, *values)`, with a value for each name in `payload`.

    One that takes only keywords, `def f(sender, **payload)`, is adapted.
    """
    if accepts_positions(receiver, payload):
        return receiver

    @functools.wraps(receiver)
    def call(sender: Any, *values: Any) -> None:
        receiver(sender, **dict(zip(payload, values, strict=True)))

    return call


def by_keyword(receiver: Receiver, payload: Collection[str]) -> Receiver:
    """`receiver` as blinker calls it: `f(sender, state=state)`."""
    if accepts_keywords(receiver, payload):
        return receiver

    @functools.wraps(receiver)
    def call(sender: Any, **values: Any) -> Any:
        return receiver(sender, *(values[name] for name in payload))

    return call


def accepts_positions(receiver: Receiver, payload: Collection[str]) -> bool:
    """Whether `receiver(sender, *values)` is a legal call."""
    return _refusal(receiver, *(None for _ in payload)) is None


def accepts_keywords(receiver: Receiver, payload: Collection[str]) -> bool:
    """Whether `receiver(sender, **values)` is a legal call."""
    return _refusal(receiver, **dict.fromkeys(payload)) is None


def refusal(receiver: Receiver, payload: Collection[str]) -> str | None:
    """Why `receiver` can be called neither way; None if it can."""
    if accepts_keywords(receiver, payload):
        return None
    return _refusal(receiver, *(None for _ in payload))


def _refusal(receiver: Receiver, *values: Any, **named: Any) -> str | None:
    try:
        signature = inspect.signature(receiver)
    except ValueError:  # some builtins have no signature
        return None
    try:
        signature.bind(None, *values, **named)
    except TypeError as error:
        return str(error)
    return None


def own_signature(call: Any) -> inspect.Signature:
    """The signature of a method `__call__`, for a class whose objects have a `__wrapped__`.

    Without it, they are taken for what they wrap, which may have other parameters.
    """
    _, *parameters = inspect.signature(call).parameters.values()
    return inspect.Signature(parameters)

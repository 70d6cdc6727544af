"""Find the methods of a handler that subscribe to signals, and check them when it is attached."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from .error_policy import POLICIES
from .signal import Signal
from .signals import NON_TRIGGER_SIGNALS, SIGNALS

WRAP = "wrap_"
WITHIN = "within_"
RESERVED = ("begin_", "after_", WRAP, WITHIN)


class AttachError(TypeError):
    """A handler or a subscription is invalid; raised when it is attached, before the run."""


class Subscriptions(NamedTuple):
    """Methods of a handler that are subscribed, with their signal, activity or scope."""

    receivers: list[tuple[Signal, Callable[..., Any]]]
    wraps: list[tuple[str, Callable[..., Any]]]
    scopes: list[tuple[str, Callable[..., Any]]]


def find_subscriptions(handler: Any, activities: Collection[str]) -> Subscriptions:
    """Find the receivers, wraps and scope functions among the methods of `handler`.

    A method named like a signal receives it; `wrap_<activity>` wraps that activity;
    `within_<scope>` is a generator that is open as long as the scope.

    Raises:
        AttachError: a class or a function instead of an instance; a method whose name is similar
            to that of a signal; an unknown activity or scope; no method to subscribe.
        ValueError: `on_error` is neither "raise" nor "detach".
    """
    _check_kind(handler)
    methods = dict(_methods(handler))
    known = SIGNALS | NON_TRIGGER_SIGNALS
    _check_names(type(handler).__name__, methods, known, activities)
    subscriptions = Subscriptions(
        receivers=[(known[name], methods[name]) for name in known if name in methods],
        wraps=[(n.removeprefix(WRAP), m) for n, m in methods.items() if n.startswith(WRAP)],
        scopes=[(n.removeprefix(WITHIN), m) for n, m in methods.items() if n.startswith(WITHIN)],
    )
    if not any(subscriptions):
        raise AttachError(
            f"{type(handler).__name__} receives no signal: none of its methods is named like one; "
            f"signals are {', '.join(known)}"
        )
    return subscriptions


def find_signal(name: str) -> Signal:
    """Return the signal called `name`.

    Raises:
        AttachError: no signal has this name; the message suggests the most similar name.
    """
    known = SIGNALS | NON_TRIGGER_SIGNALS
    if name not in known:
        raise AttachError(
            f"there is no signal {name!r}{did_you_mean(name, known)}; signals are "
            f"{', '.join(known)}"
        )
    return known[name]


def did_you_mean(name: str, known: Collection[str], cutoff: float = 0.75) -> str:
    """Return `; did you mean after_epoch?`, or an empty text if no known name is similar."""
    similar = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return f"; did you mean {similar[0]}?" if similar else ""


def scope_names() -> list[str]:
    """Names of the scopes that have a `begin_` and an `after_` signal."""
    opened = [name.removeprefix("begin_") for name in SIGNALS if name.startswith("begin_")]
    return [scope for scope in opened if f"after_{scope}" in SIGNALS]


def _check_kind(handler: Any) -> None:
    if isinstance(handler, type):
        raise AttachError(
            f"cannot attach the class {handler.__name__}; attach an instance: {handler.__name__}()"
        )
    if callable(handler) and hasattr(handler, "__name__"):
        raise AttachError(
            f"cannot attach the function {handler.__name__}: its signal is not known; "
            f'use trainer.on("after_loss")({handler.__name__})'
        )
    policy = getattr(handler, "on_error", POLICIES[0])
    if policy not in POLICIES:
        raise ValueError(
            f"{type(handler).__name__}.on_error is {policy!r}; allowed: {', '.join(POLICIES)}"
        )


def _methods(handler: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(type(handler)) + list(getattr(handler, "__dict__", ())):
        if not name.startswith("_") and not isinstance(
            getattr(type(handler), name, None), property
        ):
            value = getattr(handler, name)
            if callable(value):
                yield name, value


def _check_names(
    owner: str,
    methods: dict[str, Callable[..., Any]],
    known: dict[str, Signal],
    activities: Collection[str],
) -> None:
    for name in methods:
        if name in known:
            continue
        if name.startswith(WRAP):
            _require(owner, name, "activity", name.removeprefix(WRAP), activities)
        elif name.startswith(WITHIN):
            _require(owner, name, "scope", name.removeprefix(WITHIN), scope_names())
        elif name.startswith(RESERVED) or difflib.get_close_matches(name, known, 1, cutoff=0.8):
            raise AttachError(
                f"{owner}.{name} receives no signal{did_you_mean(name, known)}; "
                "begin the name of a helper method with an underscore"
            )


def _require(owner: str, method: str, kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise AttachError(
            f"{owner}.{method}: there is no {kind} {name!r}{did_you_mean(name, known)}; "
            f"there are {', '.join(known)}"
        )

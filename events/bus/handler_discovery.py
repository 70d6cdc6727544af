"""Find the methods of a handler that subscribe to the signals of a trainer, and check them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from ..roles import ROLES, STANDARD_ROLES
from ..signals import NON_TRIGGER_SIGNALS, STANDARD_SIGNALS
from ..utils.similar_names import did_you_mean
from .error_policy import POLICIES
from .foreign_hooks import same_moment
from .signal import Signal

WRAP = "wrap_"
WITHIN = "within_"
BEGIN = "begin_"
AFTER = "after_"
_HELPER = "begin the name of a helper method with an underscore"


class AttachError(TypeError):
    """A handler or a subscription is invalid; raised when it is attached, before the run."""


class SentSignals:
    """The signals that one sender sends, and `any_transition` and `resumed`; looked up by name.

    Args:
        signals: those of its chart, by name.
        signal_name: returns the name that a standard signal has in this chart.
        roles: those that its scopes have.
    """

    def __init__(
        self,
        signals: Mapping[str, Signal],
        signal_name: Callable[[str], str],
        roles: Collection[str] = (),
    ) -> None:
        self.roles = roles
        self.by_name = {**signals, **NON_TRIGGER_SIGNALS}
        self._signal_name = signal_name
        opened = [name.removeprefix(BEGIN) for name in signals if name.startswith(BEGIN)]
        self.scopes = [scope for scope in opened if f"{AFTER}{scope}" in signals]
        """Names of the scopes that have a `begin_` and an `after_` signal."""

    def get(self, name: str) -> Signal | None:
        """The signal of this name, or of this standard name; None if it is not sent."""
        return self.by_name.get(self._signal_name(name) if name in STANDARD_SIGNALS else name)

    def get_scope(self, scope: str) -> str | None:
        """The name that this scope has in the chart; None if the chart does not have it."""
        begin = self.get(f"{BEGIN}{scope}")
        name = None if begin is None else begin.name.removeprefix(BEGIN)
        return name if name in self.scopes else None

    def find(self, name: str, tried: str) -> Signal:
        """Return the signal of this name, which the call or method `tried` is about.

        Raises:
            AttachError: it is not sent; the message suggests the most similar name.
        """
        signal = self.get(name)
        if signal is None:
            raise AttachError(
                f"{tried}: this trainer's chart sends no {name}"
                f"{self._nearest(name, name, self.by_name)}; "
                f"it sends {', '.join(self.by_name)}"
            )
        return signal

    def find_scope(self, scope: str, tried: str) -> str:
        """Return the name that this scope has in the chart; `tried` as in `find`.

        Raises:
            AttachError: the chart does not have it; the message suggests the most similar name.
        """
        name = self.get_scope(scope)
        if name is None:
            raise AttachError(
                f"{tried}: this trainer's chart has no scope {scope!r}"
                f"{self._nearest(scope, f'{BEGIN}{scope}', self.scopes)}; "
                f"its scopes are {', '.join(self.scopes)}"
            )
        return name

    def require_role(self, role: str, owner: str) -> None:
        """Refuse the handler `owner` where no scope has a role that it needs.

        Raises:
            AttachError: names the role.
        """
        if role not in self.roles:
            raise AttachError(
                f"{owner} needs a scope with the role {role}, and this trainer's chart has none; "
                f"its scopes have the roles {', '.join(sorted(self.roles))}"
            )

    def _nearest(self, name: str, signal: str, known: Collection[str]) -> str:
        """A similar name; for a standard one, which is not misspelt, the role that is missing."""
        if signal not in STANDARD_SIGNALS:
            return did_you_mean(name, known)
        role = STANDARD_ROLES.get(signal.rpartition("_")[2])
        is_missing = role is not None and role not in self.roles
        return f": none of its scopes has the role {role}" if is_missing else ""


class Subscriptions(NamedTuple):
    """Methods of a handler that are subscribed, with their signal, activity or scope."""

    receivers: list[tuple[Signal, Callable[..., Any]]]
    wraps: list[tuple[str, Callable[..., Any]]]
    scopes: list[tuple[str, Callable[..., Any]]]


def find_subscriptions(
    handler: Any, activities: Collection[str], sent: SentSignals
) -> Subscriptions:
    """Find the receivers, wraps and scope functions among the methods of `handler`.

    A method named like a signal receives it; `wrap_<activity>` wraps that activity;
    `within_<scope>` is a generator that is open as long as the scope. A method of a standard
    signal or scope that is not sent is skipped, unless the handler's `needs` has its name.

    Raises:
        AttachError: a class or a function instead of an instance; a method whose name is similar
            to that of a signal; a signal, scope or activity that the chart does not have; an
            entry of `needs` that is not a method; no method to subscribe.
        ValueError: `on_error` is neither "raise" nor "detach".
        TypeError: `never_cancels` is not a bool.
    """
    _check_kind(handler)
    owner = type(handler).__name__
    methods = dict(_methods(handler))
    for name in methods.keys() - _needs(handler, methods, sent):
        if _is_unsent_standard(name, sent):
            del methods[name]
    _check_names(owner, methods, activities, sent)
    subscriptions = Subscriptions(
        receivers=[(s, methods[name]) for name in methods if (s := sent.get(name)) is not None],
        wraps=[(n.removeprefix(WRAP), m) for n, m in methods.items() if n.startswith(WRAP)],
        scopes=[
            (sent.find_scope(n.removeprefix(WITHIN), owner), m)
            for n, m in methods.items()
            if n.startswith(WITHIN)
        ],
    )
    if not any(subscriptions):
        raise AttachError(
            f"{owner} receives no signal: none of its methods is named like one; "
            f"this trainer's chart sends {', '.join(sent.by_name)}"
        )
    return subscriptions


def _check_kind(handler: Any) -> None:
    if isinstance(handler, type):
        raise AttachError(
            f"cannot attach the class {handler.__name__}: did you forget ()? Attach an instance: "
            f"{handler.__name__}()"
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
    never_cancels = getattr(handler, "never_cancels", False)
    if not isinstance(never_cancels, bool):
        raise TypeError(
            f"{type(handler).__name__}.never_cancels is {never_cancels!r}; allowed: a bool"
        )


def _methods(handler: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(type(handler)) + list(getattr(handler, "__dict__", ())):
        if not name.startswith("_") and not isinstance(
            getattr(type(handler), name, None), (property, cached_property)
        ):
            value = getattr(handler, name, None)  # one of `__slots__` may be unset
            if callable(value):
                yield name, value


def _needs(handler: Any, methods: Collection[str], sent: SentSignals) -> set[str]:
    """Names of the methods without which the handler cannot work; by default all.

    Where it only names roles, all of its methods.

    Raises:
        AttachError: an entry is neither a method nor a role; no scope has a role that it needs.
    """
    needs = getattr(handler, "needs", None)
    if needs is None:
        return {*methods}
    needs = {needs} if isinstance(needs, str) else {*needs}
    owner = type(handler).__name__
    for role in needs & {*ROLES}:
        sent.require_role(role, owner)
    named = needs - {*ROLES}
    for name in sorted(named - {*methods}):
        raise AttachError(
            f"{owner}.needs: {name!r} is not one of its methods, nor a role"
            f"{did_you_mean(name, methods)}; allowed: {', '.join((*methods, *ROLES))}"
        )
    return named if named or not needs else {*methods}


def _is_unsent_standard(method: str, sent: SentSignals) -> bool:
    if method.startswith(WITHIN):
        scope = method.removeprefix(WITHIN)
        return f"{BEGIN}{scope}" in STANDARD_SIGNALS and sent.get_scope(scope) is None
    return method in STANDARD_SIGNALS and sent.get(method) is None


def _check_names(
    owner: str, methods: Collection[str], activities: Collection[str], sent: SentSignals
) -> None:
    for name in methods:
        tried = f"{owner}.{name}"
        if sent.get(name) is None and (moment := same_moment(name)) is not None:
            raise AttachError(f"{tried} receives no signal: {moment}; {_HELPER}")
        if name.startswith(WRAP):
            _check_activity(tried, name.removeprefix(WRAP), activities)
        elif name.startswith(WITHIN):
            sent.find_scope(name.removeprefix(WITHIN), tried)
        elif name.startswith((BEGIN, AFTER)):
            sent.find(name, tried)
        elif sent.get(name) is None and did_you_mean(name, {*sent.by_name, *STANDARD_SIGNALS}, 0.8):
            raise AttachError(
                f"{tried} receives no signal{did_you_mean(name, sent.by_name)}; {_HELPER}"
            )


def _check_activity(tried: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise AttachError(
            f"{tried}: there is no activity {name!r}{did_you_mean(name, known)}; "
            f"there are {', '.join(short for short in known if '.' not in short)}"
        )

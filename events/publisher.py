"""What can be subscribed to: the sender's side of the bus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable
from contextlib import ExitStack
from typing import Any, TypeVar

from blinker._utilities import make_id

from .attachment import Attachment
from .error_policy import Guard
from .filters import Filter, Once, Predicate
from .handler_discovery import AttachError, did_you_mean, scopes, signal_named, subscriptions
from .lock import BUS, locked
from .order import Receiver, receiver_name
from .scope_handlers import ScopeFunction, ScopeHandler
from .signal import Signal, any_transition, check_receiver
from .signals import SIGNALS
from .subscription_counts import SubscriptionCounts
from .transition import Transition

F = TypeVar("F", bound=Callable[..., Any])
Instrument = Callable[[Receiver, Transition], Receiver]


class Explanation(str):
    """Text that a prompt shows as it is."""

    __repr__ = str.__str__


class Publisher(ABC):
    """Sends signals: handlers are attached to it, functions subscribed, and taken off again.

    Args:
        name: what modules that have never seen this sender subscribe by:
            `begin_fit.connect(f, sender="detector")`; several senders may share it.

    Raises:
        TypeError: the name is no str.
    """

    def __init__(self, name: str = "") -> None:
        if not isinstance(name, str):
            raise TypeError(f"name={name!r} is a {type(name).__name__}; allowed: a str")
        self._name = name
        self._attached: dict[Hashable, tuple[Any, Attachment]] = {}
        self.instruments: tuple[Instrument, ...] = ()
        """What stands around each receiver that is called; see `instrument`."""
        self.subscription_counts = SubscriptionCounts()
        """What functions have heard that are subscribed to some of the sends only."""

    @property
    def name(self) -> str:
        """What its subscribers know it by; empty for a sender that was given none."""
        return self._name

    @property
    @abstractmethod
    def activities(self) -> Collection[str]:
        """Names of the activities that can be wrapped."""

    @abstractmethod
    def wrap(self, name: str, wrapper: Callable[[Any], Any]) -> Callable[[], None]:
        """Replace activity `name` by `wrapper(activity)`; gives back the undo."""

    @property
    def handlers(self) -> list[Any]:
        """What is attached or subscribed, in order of attachment."""
        return [subscribed for subscribed, _ in tuple(self._attached.values())]

    def attach(self, handler: Any) -> Attachment:
        """Subscribe every method of `handler` that is named like a signal.

        A string names a handler that an installed distribution publishes (see `plugins`): it is
        loaded, and made without arguments.

        `wrap_<activity>` methods wrap that activity, `within_<scope>` generators are open with
        their scope. `attached(trainer)` and `detached(trainer)`, where the handler has them, are
        called at the beginning and at the end. All of it is undone by `detach`, by calling what
        this gives back, or by leaving its `with` block.

        Raises:
            AttachError: the handler is wired wrongly, or attached already; there is none of this
                name, or it cannot be loaded.
            ReceiverError: a method does not take `(trainer, state)`.
            OrderError: its declared order closes a circle. It is not attached in any of these.
        """
        if isinstance(handler, str):
            handler = _published(handler)
        if make_id(handler) in self._attached:
            raise AttachError(f"{type(handler).__name__} is attached already; attach it once")
        found = subscriptions(handler, self.activities)
        attachment = self._register(handler)
        guarded = getattr(handler, "on_error", "raise") == "detach"

        def receiver(method: Receiver) -> Receiver:
            return Guard(method, attachment) if guarded else method

        try:
            if hasattr(handler, "attached"):
                handler.attached(self)
            if hasattr(handler, "detached"):
                attachment.undo.callback(handler.detached, self)
            for signal, method in found.receivers:
                check_receiver(method, signal)
                self._connect(attachment.undo, signal, receiver(method))
            for scope, function in found.scopes:
                self._connect_scope(attachment.undo, scope, ScopeHandler(function), receiver)
            for activity, wrapper in found.wraps:
                attachment.undo.callback(self.wrap(activity, wrapper))
        except BaseException:
            attachment()
            raise
        return attachment

    def detach(self, subscribed: Any) -> None:
        """Take off a handler, or a function from everything it was subscribed to here.

        Raises:
            AttachError: it is not subscribed here.
        """
        if make_id(subscribed) not in self._attached:
            raise AttachError(f"{receiver_name(subscribed)} is not attached to this trainer")
        self._attached[make_id(subscribed)][1]()

    def on(
        self, name: str, *, every: int = 1, once: bool = False, when: Predicate | None = None
    ) -> Callable[[F], F]:
        """Subscribe a function `f(trainer, state)` to the signal `name` of this sender.

        Args:
            every: call it for the n-th send, the 2n-th, and so on.
            once: call it the first time only.
            when: `when(trainer, state)` picks the sends that count; all of them by default.

        Raises:
            AttachError: there is no such signal; the nearest is named.
            ReceiverError: `f` does not take `(trainer, state)`.
        """
        signal = signal_named(name)

        def subscribe(function: F) -> F:
            check_receiver(function, signal)
            single = Once(function) if once else None
            receiver: Receiver = single or function
            some = Filter(receiver, every, when) if every != 1 or when is not None else None
            receiver = some or receiver
            connection = ExitStack()
            with BUS:
                self._connect(connection, signal, receiver)
                attachment = self._registered(function)
                attachment.add(connection)
                if single is not None:
                    single.detach = lambda: attachment.remove(connection)
            self.subscription_counts.add(function, name, some, single)
            return function

        return subscribe

    def within(self, scope: str) -> Callable[[ScopeFunction], ScopeFunction]:
        """Subscribe a generator function with one `yield`: open as long as `scope` is.

        It runs to the yield at `begin_<scope>` and to its end at `after_<scope>`, whatever closed
        the scope, last in, first out.

        Raises:
            AttachError: there is no such scope.
        """
        if scope not in scopes():
            raise AttachError(
                f"there is no scope {scope!r}{did_you_mean(scope, scopes())}; "
                f"scopes are {', '.join(scopes())}"
            )

        def subscribe(function: ScopeFunction) -> ScopeFunction:
            connection = ExitStack()
            self._connect_scope(connection, scope, ScopeHandler(function), lambda half: half)
            self._registered(function).add(connection)
            return function

        return subscribe

    @locked
    def instrument(self, around: Instrument) -> Callable[[], None]:
        """Have `around(receiver, transition)` stand for each receiver of this sender.

        It is asked when the routes of a run are made, and whenever somebody connects: what it
        gives back, `f(trainer, state)`, calls the receiver, and carries it as `__wrapped__`.
        Costs nothing where nobody asks for it.

        Returns:
            The undo.
        """
        self.instruments += (around,)
        any_transition.refresh()

        @locked
        def undo() -> None:
            self.instruments = tuple(other for other in self.instruments if other is not around)
            any_transition.refresh()

        return undo

    def explain(self, name: str) -> Explanation:
        """Who will run at the signal `name` of this sender, in order, and why in that order."""
        signal = signal_named(name)
        first = [any_transition] if name in SIGNALS else []
        places = [place for s in (*first, signal) for place in s.arranged(self)]
        lines = [
            f"{number:3}. {receiver_name(place.receiver)}: {place.reason}"
            for number, place in enumerate(places, 1)
        ]
        return Explanation("\n".join([f"{name}: {len(lines)} to run", *lines]))

    def _register(self, subscribed: Any) -> Attachment:
        attachment = Attachment()
        self._attached[make_id(subscribed)] = subscribed, attachment
        attachment.undo.callback(self._attached.pop, make_id(subscribed))
        return attachment

    def _registered(self, function: Any) -> Attachment:
        """The attachment of a function, which may be subscribed to several signals."""
        if make_id(function) not in self._attached:
            return self._register(function)
        return self._attached[make_id(function)][1]

    def _connect(self, undo: ExitStack, signal: Signal, receiver: Receiver) -> None:
        signal.connect(receiver, sender=self)
        undo.callback(signal.disconnect, receiver, self)

    def _connect_scope(
        self,
        undo: ExitStack,
        scope: str,
        handler: ScopeHandler,
        guard: Callable[[Receiver], Receiver],
    ) -> None:
        undo.callback(handler.close)
        self._connect(undo, SIGNALS[f"begin_{scope}"], guard(handler.opener))
        self._connect(undo, SIGNALS[f"after_{scope}"], guard(handler.closer))


def _published(name: str) -> Any:
    from .plugins import make  # noqa: PLC0415  # reading metadata takes as long as all of the bus

    return make(name)

"""A sender of signals: attach handlers, subscribe functions, detach both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import ExitStack
from typing import Any, Literal, Unpack, overload

from ..handler_protocols import AnyHandler
from ..signal_names import OwnName, PayloadName, ScopeName, SignalName
from ..transition import Transition
from .attachment import Attachment
from .blinker_internals import make_id
from .conflicts import check_declared
from .error_policy import DetachOnError
from .explanation import Explanation
from .filters import FilteredReceiver, OnceReceiver, Predicate, while_open
from .handler_discovery import AttachError, SentSignals, find_subscriptions
from .lock import BUS_LOCK, locked
from .order import Receiver, receiver_name
from .receiver_call import by_position
from .receiver_types import Decorator, F, Options, S, T
from .redefinition import drop_redefined
from .scope_handlers import ScopeHandler, check_scope_function
from .signal import Signal, any_transition, check_receiver
from .subscription_counts import SubscriptionCounts

Instrument = Callable[[Receiver, Transition], Receiver]


class Publisher(ABC):
    """Sends signals to attached handlers and subscribed functions.

    Args:
        name: modules without a reference to this sender subscribe by it:
            `begin_fit.connect(f, sender="detector")`; several senders may have the same name.

    Raises:
        TypeError: the name is not a str.
    """

    def __init__(self, name: str = "") -> None:
        if not isinstance(name, str):
            raise TypeError(f"name={name!r} is a {type(name).__name__}; allowed: a str")
        self._name = name
        self._attached: dict[Hashable, tuple[Any, Attachment]] = {}
        self.instruments: tuple[Instrument, ...] = ()
        """Wrappers of every receiver; see `instrument`."""
        self.subscription_counts = SubscriptionCounts()
        """Counts of the functions that are subscribed to some sends only."""

    @property
    def name(self) -> str:
        """The name by which modules subscribe; empty if it has none."""
        return self._name

    @property
    @abstractmethod
    def signals(self) -> Mapping[str, Signal]:
        """The signals that this sender sends, by name; known before it first runs."""

    def signal_name(self, name: str) -> str:
        """The name that a standard signal has in the chart of this sender.

        `attach`, `on`, `within` and `explain` look up standard names by it.
        """
        return name

    @property
    def roles(self) -> Collection[str]:
        """The roles that the scopes of its chart have; see `roles`."""
        return ()

    @property
    def is_main(self) -> bool:
        """Whether handlers with `main_only` receive something here."""
        return True

    @property
    @abstractmethod
    def activities(self) -> Collection[str]:
        """Names of the activities that can be wrapped."""

    @abstractmethod
    def wrap(self, name: str, wrapper: Callable[[Any], Any]) -> Callable[[], None]:
        """Replace activity `name` by `wrapper(activity)`; returns a function that undoes it."""

    @property
    def handlers(self) -> list[Any]:
        """Attached handlers and subscribed functions, in order of attachment."""
        return [subscribed for subscribed, _ in tuple(self._attached.values())]

    def attach(self, handler: AnyHandler | str) -> Attachment:
        """Subscribe every method of `handler` that is named like a signal of this sender.

        A string is the name of a handler that an installed distribution publishes (see
        `plugins`): it is loaded, and called without arguments.

        `wrap_<activity>` methods wrap that activity, `within_<scope>` generators are open with
        their scope. A handler that can work without some of its methods names the others in
        `needs`, a tuple of str: a method that is not in it, for a standard signal or scope
        (`after_epoch`, `within_epoch`) that this sender does not have, is skipped. By default
        none is skipped. It may also name roles of scopes in `needs`, such as "evaluation".

        A handler with the class attribute `main_only = True` writes for all processes that train
        together: where this one is not the main one it is attached, and receives nothing.

        Optional methods `attached(trainer)` and `detached(trainer)` are called first and last. All
        is undone by `detach`, by calling the returned Attachment, or by leaving its `with` block.

        Raises:
            AttachError: the handler is invalid, or already attached; this sender does not send
                the signal of a method, or has no scope of a role that it needs; or no handler is
                published by this name, or it cannot be loaded.
            ReceiverError: a method does not take `(trainer, state)`.
            OrderError: its declared order has a cycle. After an error it is not attached.
        """
        if isinstance(handler, str):
            from .plugins import make_handler  # noqa: PLC0415  # importlib.metadata is slow

            handler = make_handler(handler)
        if make_id(handler) in self._attached:
            raise AttachError(f"{type(handler).__name__} is already attached; attach it once")
        methods = find_subscriptions(handler, self.activities, self._sent_signals)
        check_declared(handler, getattr(self, "state", None), self._sent_signals)
        attachment = self._add_attachment(handler)
        if getattr(handler, "main_only", False) and not self.is_main:
            return attachment
        detaches = getattr(handler, "on_error", "raise") == "detach"

        def with_policy(receiver: Receiver) -> Receiver:
            return DetachOnError(receiver, attachment) if detaches else receiver

        try:
            if hasattr(handler, "attached"):
                handler.attached(self)
            if hasattr(handler, "detached"):
                attachment.undo.callback(handler.detached, self)
            for signal, method in methods.receivers:
                check_receiver(method, signal)
                receiver = by_position(method, signal.payload) if detaches else method
                self._connect(attachment.undo, signal, with_policy(receiver))
            for scope, function in methods.scopes:
                self._connect_scope(attachment.undo, scope, ScopeHandler(function), with_policy)
            for activity, wrapper in methods.wraps:
                attachment.undo.callback(self.wrap(activity, wrapper))
        except BaseException:
            attachment()
            raise
        return attachment

    def detach(self, subscribed: Any) -> None:
        """Detach a handler, or a function from all signals of this sender.

        Raises:
            AttachError: it is not attached to this sender.
        """
        if make_id(subscribed) not in self._attached:
            raise AttachError(f"{receiver_name(subscribed)} is not attached to this trainer")
        self._attached[make_id(subscribed)][1]()

    @overload
    def on(  # type: ignore[overload-overlap]  # no own name is that of a standard signal
        self, name: Literal["any_transition"], **how: Unpack[Options]
    ) -> Callable[[T], T]: ...
    @overload
    def on(self, name: PayloadName | OwnName, **how: Unpack[Options]) -> Callable[[F], F]: ...
    def on(
        self,
        name: str,
        *,
        every: int = 1,
        once: bool = False,
        when: Predicate | None = None,
        inside: str | None = None,
    ) -> Callable[[Any], Any]:
        """Subscribe a function `f(trainer, state)` to the signal `name` of this sender.

        A function that a notebook's cell or a prompt defines again replaces the old one there.

        Args:
            name: type checkers know the standard ones, others are `OwnName("after_draw")`.
            every: call it for the n-th send, the 2n-th, and so on.
            once: call it the first time only.
            when: only sends for which `when(trainer, state)` is true count; by default all.
            inside: only sends while a scope of this name is open count; `after_<scope>` itself is
                sent when it has closed.

        Raises:
            AttachError: this sender does not have the signal or the scope.
            ReceiverError: `f` does not take `(trainer, state)`.
        """
        signal = self._sent_signals.find(name, f"trainer.on({name!r})")
        if inside is not None:
            tried = f"trainer.on({name!r}, inside={inside!r})"
            when = while_open(self._sent_signals.find_scope(inside, tried), when)

        def subscribe(function: Any) -> Any:
            check_receiver(function, signal)
            called = by_position(function, signal.payload)
            single = OnceReceiver(called) if once else None
            is_filtered = every != 1 or when is not None
            filtered = FilteredReceiver(single or called, every, when) if is_filtered else None
            receiver: Receiver = filtered or single or function
            connection = ExitStack()
            with BUS_LOCK:
                self._connect(connection, signal, receiver)
                drop_redefined(function, signal.name, self._attached.values())
                attachment = self._attachment_of(function)
                attachment.add(signal.name, connection)
                if single is not None:
                    single.detach = lambda: attachment.remove(connection)
            self.subscription_counts.add(function, name, filtered, single)
            return function

        return subscribe

    def within(self, scope: ScopeName | OwnName) -> Callable[[S], S]:
        """Subscribe a generator function with one `yield`, which is open as long as `scope`.

        It runs to the yield at `begin_<scope>` and to its end at `after_<scope>`, however the scope
        closes; last in, first out.

        Raises:
            AttachError: this sender has no scope of this name.
            ReceiverError: the function has no yield, or does not take `(trainer, state)`.
        """
        name = self._sent_signals.find_scope(scope, f"trainer.within({scope!r})")

        def subscribe(function: S) -> S:
            connection, handler = ExitStack(), ScopeHandler(function)
            self._connect_scope(connection, name, handler, lambda receiver: receiver)
            drop_redefined(function, name, self._attached.values())
            self._attachment_of(function).add(name, connection)
            return function

        return subscribe

    @locked
    def instrument(self, around: Instrument) -> Callable[[], None]:
        """Replace each receiver of this sender by `around(receiver, transition)`.

        It is called when the routes of a run are built, and when a receiver is connected. It
        returns `f(trainer, state)`, which calls the receiver and has it as `__wrapped__`.

        Returns:
            A function that undoes it.
        """
        self.instruments += (around,)

        @locked
        def undo() -> None:
            self.instruments = tuple(other for other in self.instruments if other is not around)
            any_transition.refresh()

        if (error := any_transition.refresh().get(make_id(around))) is not None:
            undo()
            raise error
        return undo

    def explain(self, name: SignalName | str) -> Explanation:
        """The receivers of the signal `name` of this sender, in order, each with the reason.

        For another `name`, what a handler's method `explain_<name>` returns.
        """
        if (own := Explanation.by_handler(self.handlers, name)) is not None:
            return own
        signal = self._sent_signals.find(name, f"trainer.explain({name!r})")
        return Explanation.of(signal, self, self._sent_signals)

    @property
    def _sent_signals(self) -> SentSignals:
        return SentSignals(self.signals, self.signal_name, self.roles)

    def _add_attachment(self, subscribed: Any) -> Attachment:
        attachment = Attachment()
        self._attached[make_id(subscribed)] = subscribed, attachment
        attachment.undo.callback(self._attached.pop, make_id(subscribed))
        return attachment

    def _attachment_of(self, function: Any) -> Attachment:
        """The attachment of a function, which may be subscribed to several signals."""
        if make_id(function) not in self._attached:
            return self._add_attachment(function)
        return self._attached[make_id(function)][1]

    def _connect(self, undo: ExitStack, signal: Signal, receiver: Receiver) -> None:
        signal.connect(receiver, sender=self)
        undo.callback(signal.disconnect, receiver, self)

    def _connect_scope(
        self, undo: ExitStack, scope: str, handler: ScopeHandler, with_policy: Decorator
    ) -> None:
        check_scope_function(handler.function, scope)
        undo.callback(handler.detach)
        self._connect(undo, self.signals[f"begin_{scope}"], with_policy(handler.opener))
        self._connect(undo, self.signals[f"after_{scope}"], with_policy(handler.closer))

"""An ordered, strong-by-default `blinker` signal, and the route over which an engine sends it."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Collection, Generator, Hashable
from typing import Any, TypeVar

from ..cancel import Cancel
from ..transition import Transition
from .blinker_internals import ANY, ConnectionTables, make_id
from .lock import locked
from .order import OrderedReceiver, Receiver, arrange, receiver_name
from .receiver_call import by_keyword, by_position, refusal
from .transition_binding import bind_transition, raising
from .weak_receivers import WeakReceiver

F = TypeVar("F", bound=Receiver)
R = TypeVar("R")

_KEPT = "_kept_receivers"
"""The attribute of a sender that holds its receivers, by signal and identity."""


class ReceiverError(TypeError):
    """A receiver cannot be called as its signal calls it; raised when it is connected."""


class Signal(ConnectionTables):
    """A `blinker` signal that differs in four ways, each deliberate.

    Receivers are held strongly unless `weak=True`: by the signal if they are connected to all
    senders, by the sender if to one, so that deleting a trainer deletes its handlers. A sender that
    is a str means every trainer of that name, existing or future. Receivers run in a defined order
    (see `order`). An engine dispatches to a cached tuple, its `Route`; connecting or disconnecting
    while the signal is being sent takes effect at the next send.

    A receiver is `def f(trainer, state)`: the sender, and what `payload` names, by position; the
    parameters may have any names. One with only keywords, `def f(trainer, **payload)`, gets those.
    """

    def __init__(self, name: str, doc: str = "", payload: tuple[str, ...] = ("state",)) -> None:
        super().__init__(name, doc)
        self.payload = payload
        self._routes: weakref.WeakSet[_Linked] = weakref.WeakSet()
        self._weak_ids: set[Hashable] = set()

    @locked
    def connect(self, receiver: F, sender: Any = ANY, weak: bool = False) -> F:
        """Call `receiver` whenever `sender`, by default any sender, sends this signal.

        Raises:
            ReceiverError: it does not take two arguments, or is a coroutine function.
            OrderError: its declared order closes a cycle.
            BaseException: it cannot prepare itself for a transition of a run (`for_transition`).
                After an error it is not connected.
        """
        check_receiver(receiver, self)
        connected, strong = self._is_connected(receiver), self._is_strong(receiver)
        to_sender = not weak and not strong and sender is not ANY
        owned = to_sender and _store_on_sender(self, sender, receiver)
        super().connect(receiver, sender, weak=False)
        if (weak or owned) and not strong:
            self._make_weak(receiver)
        if not weak:
            self._weak_ids.discard(make_id(receiver))
        elif not connected:
            self._weak_ids.add(make_id(receiver))
        try:
            self.arranged(sender)
            failed = self.refresh()
            for cause in (receiver, self):  # its own preparation, or a cycle that its order closes
                if make_id(cause) in failed:
                    raise failed[make_id(cause)]
        except BaseException:
            self.disconnect(receiver, sender)
            raise
        return receiver

    def arranged(self, sender: Any) -> list[OrderedReceiver]:
        """The receivers that are called when `sender` sends this, in order, with the reason."""
        return arrange(self._connected_receivers(sender), self.name)

    def receivers_for(self, sender: Any) -> Generator[Receiver, None, None]:
        """Yield the receivers that are called when `sender` sends this, as blinker calls them."""
        for ordered in self.arranged(sender):
            yield by_keyword(ordered.receiver, self.payload)

    def _forget(self, receiver_id: Hashable) -> None:
        self._weak_ids.discard(receiver_id)

    @locked
    def disconnect(self, receiver: Receiver, sender: Any = ANY) -> None:
        """Do not call `receiver` any more when `sender` sends; by default for all senders."""
        senders = self._senders_of(receiver) if sender is ANY else [sender]
        super().disconnect(receiver, sender)
        for each in senders:
            _remove_from_sender(self, each, receiver)

    @locked
    def refresh(self) -> dict[Hashable, BaseException]:
        """Update the routes of this signal; returns as `refresh` of routes."""
        found = tuple(self._routes)
        try:
            return refresh([route for linked in found for route in linked.routes])
        finally:  # whoever sees the new number finds the new receivers
            for linked in found:
                linked.updates.count += 1

    def _adapted_receivers(self, sender: Any) -> list[Receiver]:
        ordered = self.arranged(sender) if self.receivers and not self.is_muted else ()
        return [self._adapted(receiver) for receiver, _ in ordered]

    def _adapted(self, receiver: Receiver) -> Receiver:
        """`receiver` as a route calls it: positionally, and not kept alive if it is weak."""
        if make_id(receiver) in self._weak_ids:
            return WeakReceiver(receiver, self.payload)
        return by_position(receiver, self.payload)


class Route:
    """The receivers of one transition of one sender, in order: `for receive in route.receivers`.

    Without a transition, those of a signal that is sent by none: `any_transition` and instruments
    do not get it.

    The tuple is replaced, never changed, when a receiver is connected or disconnected. The tuple
    of a new route is empty until `link` is called with it.
    """

    __slots__ = ("__weakref__", "receivers", "sender", "signal", "transition")

    def __init__(self, signal: Signal, sender: Any, transition: Transition | None) -> None:
        self.signal = signal
        self.sender = sender
        self.transition = transition
        self.receivers: tuple[Receiver, ...] = ()


class Updates:
    """How often routes were updated: who compares it reads one number, and not all routes."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class _Linked:
    """Routes that are kept up to date together; a run has hundreds."""

    __slots__ = ("__weakref__", "routes", "updates")

    def __init__(self, routes: Collection[Route], updates: Updates) -> None:
        self.routes = routes
        self.updates = updates


class Links:
    """Keeps routes up to date for as long as it lives.

    Attributes:
        updates: of any of the routes.
    """

    def __init__(self, routes: Collection[Route]) -> None:
        by_signal: dict[Signal, list[Route]] = {}
        for route in routes:
            by_signal.setdefault(route.signal, []).append(route)
        self.updates = updates = Updates()
        self._linked = {signal: _Linked(own, updates) for signal, own in by_signal.items()}
        self._linked[any_transition] = _Linked(routes, updates)

    def begin(self) -> None:
        """Have each signal update its routes."""
        for signal, linked in self._linked.items():
            signal._routes.add(linked)

    @locked
    def end(self) -> None:
        """Stop updating the routes, which are no longer used; safe to repeat."""
        for signal, linked in self._linked.items():
            signal._routes.discard(linked)


@locked
def link(routes: Collection[Route]) -> Links:
    """Fill in `routes`, and keep them up to date for as long as the result lives.

    Raises:
        BaseException: a receiver or an instrument could not prepare itself for a transition; the
            routes are not kept.
    """
    links = Links(routes)
    try:
        links.begin()
        for error in refresh(routes).values():
            raise error
    except BaseException:  # whose traceback would keep them
        links.end()
        raise
    return links


def refresh(routes: Collection[Route]) -> dict[Hashable, BaseException]:
    """Replace the receivers of `routes`: those of `any_transition`, then those of the signal.

    Called by functions that hold the lock.

    A receiver that cannot prepare itself is an error of its own sender, not of whoever subscribes
    elsewhere at that moment: in its place the route raises the error.

    Returns:
        The error of each receiver, or instrument, that could not prepare itself, by identity.
    """
    cache: dict[tuple[str, int], tuple[Receiver, ...]] = {}
    failed: dict[Hashable, BaseException] = {}

    def attempt(source: Any, prepare: Callable[..., R], *arguments: Any) -> R | Receiver:
        if make_id(source) not in failed:
            try:
                return prepare(*arguments)
            except (Exception, Cancel) as error:
                failed[make_id(source)] = error
        return raising(failed[make_id(source)])

    def receivers_of(signal: Signal, sender: Any) -> tuple[Receiver, ...]:
        key = signal.name, id(sender)
        if key not in cache:
            found = attempt(signal, signal._adapted_receivers, sender)
            cache[key] = tuple(found) if isinstance(found, list) else (found,)
        return cache[key]

    unheard: set[int] = set()  # senders without receivers of every transition, and instruments
    for route in routes:
        transition, sender = route.transition, route.sender
        if transition is None or id(sender) in unheard:
            route.receivers = receivers_of(route.signal, sender)
            continue
        of_any = receivers_of(any_transition, sender)
        receivers = receivers_of(route.signal, sender)
        if not of_any and not getattr(sender, "instruments", ()):
            unheard.add(id(sender))
        if of_any:
            bound = [attempt(each, bind_transition, each, transition) for each in of_any]
            receivers = (*(each for each in bound if each is not None), *receivers)
        for around in getattr(sender, "instruments", ()):
            receivers = tuple(attempt(around, around, r, transition) for r in receivers)
        route.receivers = receivers
    return failed


def _store_on_sender(signal: Signal, sender: Any, receiver: Receiver) -> bool:
    """Let the sender hold the receiver; False if it cannot, or one has no weak references."""
    try:
        weakref.ref(receiver.__self__ if inspect.ismethod(receiver) else receiver)
        weakref.ref(sender)
        stored = vars(sender).setdefault(_KEPT, {})
    except TypeError:
        return False
    stored[signal.name, make_id(receiver)] = receiver
    return True


def _remove_from_sender(signal: Signal, sender: Any, receiver: Receiver) -> None:
    getattr(sender, _KEPT, {}).pop((signal.name, make_id(receiver)), None)


def check_receiver(receiver: Any, signal: Signal) -> None:
    """Refuse a receiver that `signal` could not call.

    Raises:
        ReceiverError: names the receiver, and the signature that is expected.
    """
    if not callable(receiver):
        raise ReceiverError(f"cannot connect {receiver!r} to {signal.name}: it is not callable")
    expected = f"def f({', '.join(('trainer', *signal.payload))})"
    if inspect.iscoroutinefunction(receiver):
        raise ReceiverError(
            f"cannot connect {receiver_name(receiver)} to {signal.name}: it is a coroutine "
            f"function, and a receiver is called, not awaited; expected {expected}"
        )
    if (why := refusal(receiver, signal.payload)) is not None:
        raise ReceiverError(
            f"cannot connect {receiver_name(receiver)}{inspect.signature(receiver)} to "
            f"{signal.name}: {why}; expected {expected}, with any names"
        )


any_transition = Signal(
    "any_transition",
    "Sent at every transition, before its own signal; `def f(trainer, state, transition)`.",
    payload=("state", "transition"),
)

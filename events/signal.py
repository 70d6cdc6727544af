"""An ordered, strong-by-default `blinker` signal, and the route over which an engine sends it."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Collection, Generator, Hashable
from contextlib import contextmanager
from typing import Any, TypeVar

import blinker
from blinker._utilities import make_id
from blinker.base import ANY, ANY_ID

from .lock import locked
from .order import OrderError, Place, Receiver, arrange, receiver_name
from .transition import Transition
from .transition_binding import bound
from .weak_receivers import Weakly, reference

F = TypeVar("F", bound=Callable[..., Any])

_KEPT = "_kept_receivers"


class ReceiverError(TypeError):
    """A receiver cannot be called the way its signal calls it; found when it is connected."""


class Signal(blinker.NamedSignal):
    """A `blinker` signal that differs in four ways, each deliberate.

    Receivers are held strongly unless `weak=True`: by the signal when they hear every sender, by
    the sender when they hear just one, so that dropping a trainer drops its handlers. A sender that
    is a str stands for every trainer of that name, made or still to be made. Receivers run in
    a defined order (see `order`). An engine sends over a cached tuple, its `Route`; connecting or
    disconnecting while the signal is being sent takes effect at the next send.

    A receiver is `def f(trainer, state)`: the sender, and the keywords named by `payload`.
    """

    def __init__(self, name: str, doc: str = "", payload: tuple[str, ...] = ("state",)) -> None:
        super().__init__(name, doc)
        self.payload = payload
        self._routes: weakref.WeakSet[Route] = weakref.WeakSet()
        self._weak: set[Hashable] = set()

    @locked
    def connect(self, receiver: F, sender: Any = ANY, weak: bool = False) -> F:
        """Have `receiver` called whenever `sender`, by default anyone, sends this signal.

        Raises:
            ReceiverError: it does not take `(trainer, state)`, or is a coroutine function.
            OrderError: its declared order closes a circle; it is not connected then.
        """
        check_receiver(receiver, self)
        identity = make_id(receiver)
        held = self.receivers.get(identity)
        strong = held is not None and not isinstance(held, weakref.ref)
        kept = not weak and not strong and sender is not ANY and _keep(self, sender, receiver)
        super().connect(receiver, sender, weak=False)
        if (weak or kept) and not strong:
            self.receivers[identity] = reference(receiver, self._make_cleanup_receiver(identity))
        if not weak:
            self._weak.discard(identity)
        elif held is None:
            self._weak.add(identity)
        try:
            self.arranged(sender)
            self.refresh()
        except OrderError:
            self.disconnect(receiver, sender)
            raise
        return receiver

    def arranged(self, sender: Any) -> list[Place]:
        """Who is called when `sender` sends this, in order, and why in that order."""
        return arrange(self._found(sender), self.name)

    def receivers_for(self, sender: Any) -> Generator[Receiver, None, None]:
        """Yield the receivers that `sender` reaches, in order."""
        yield from (place.receiver for place in self.arranged(sender))

    @contextmanager
    def muted(self) -> Generator[None, None, None]:
        """Call nobody while the block runs."""
        self.is_muted = True
        self.refresh()
        try:
            yield
        finally:
            self.is_muted = False
            self.refresh()

    def _found(self, sender: Any) -> Generator[Receiver, None, None]:
        heard = {*self._by_sender.get(ANY_ID, ())}
        if sender is not ANY:
            heard.update(self._by_sender.get(make_id(sender), ()))
        name = getattr(sender, "name", "")
        if isinstance(name, str) and name:
            heard.update(self._by_sender.get(name, ()))
        # a list of the keys, made without allocating: a collection of garbage may disconnect
        for identity in list(self.receivers):
            if identity in heard:
                receiver = self.receivers.get(identity)
                alive = receiver() if isinstance(receiver, weakref.ref) else receiver
                if alive is not None:
                    yield alive

    def _callables(self, sender: Any) -> list[Receiver]:
        return [] if self.is_muted else [self._callable(r) for r in self.receivers_for(sender)]

    def _callable(self, receiver: Receiver) -> Receiver:
        """`receiver` as the engine calls it: positionally, and not kept alive if it is weak."""
        if make_id(receiver) in self._weak:
            return Weakly(receiver)
        if _takes(receiver, *self.payload):
            return receiver
        return _by_keyword(receiver)

    @locked
    def _disconnect(self, receiver_id: Hashable, sender_id: Hashable) -> None:
        """blinker's own, without the empty records that it leaves behind."""
        if sender_id != ANY_ID and self._by_receiver.get(receiver_id) == {sender_id}:
            super()._disconnect(receiver_id, ANY_ID)
        else:
            super()._disconnect(receiver_id, sender_id)
        if not self._by_sender.get(sender_id, True):
            del self._by_sender[sender_id]
            self._weak_senders.pop(sender_id, None)
        if receiver_id not in self.receivers:
            self._weak.discard(receiver_id)
        self.refresh()

    def _make_cleanup_sender(self, sender_id: Hashable) -> Callable[[weakref.ref[Any]], None]:
        """blinker's own forgets the sender, but not the receivers that heard it alone."""
        forget = super()._make_cleanup_sender(sender_id)

        def cleanup(reference: weakref.ref[Any]) -> None:
            for receiver_id in tuple(self._by_sender.get(sender_id, ())):
                self._disconnect(receiver_id, sender_id)
            forget(reference)

        return cleanup

    @locked
    def disconnect(self, receiver: Receiver, sender: Any = ANY) -> None:
        """Call `receiver` no more for `sender`; by default for nobody."""
        super().disconnect(receiver, sender)
        if sender is not ANY:
            _release(self, sender, receiver)

    @locked
    def refresh(self) -> None:
        """Ask again who hears the transitions that are sent over this signal."""
        refresh(tuple(self._routes))


class Route:
    """What one sender's transition calls, in order: `for receive in route.receivers`.

    The tuple is replaced, never changed, whenever somebody connects or disconnects. A new route
    calls nobody until `link` has been told of it.
    """

    __slots__ = ("__weakref__", "receivers", "sender", "signal", "transition")

    def __init__(self, signal: Signal, sender: Any, transition: Transition) -> None:
        self.signal = signal
        self.sender = sender
        self.transition = transition
        self.receivers: tuple[Receiver, ...] = ()


@locked
def link(routes: Collection[Route]) -> None:
    """Fill in `routes`, and keep them up to date for as long as they live."""
    for route in routes:
        route.signal._routes.add(route)
        any_transition._routes.add(route)
    refresh(routes)


@locked
def unlink(routes: Collection[Route]) -> None:
    """Keep `routes` up to date no more; they are not used again."""
    for route in routes:
        route.signal._routes.discard(route)
        any_transition._routes.discard(route)


@locked
def refresh(routes: Collection[Route]) -> None:
    """Ask their signals, and `any_transition`, again who hears the transitions of `routes`."""
    heard: dict[tuple[str, int], list[Receiver]] = {}

    def ask(signal: Signal, sender: Any) -> list[Receiver]:
        key = signal.name, id(sender)
        if key not in heard:
            heard[key] = signal._callables(sender)
        return heard[key]

    for route in routes:
        transition = route.transition
        asked = (bound(watcher, transition) for watcher in ask(any_transition, route.sender))
        watchers = [watcher for watcher in asked if watcher is not None]
        receivers = (*watchers, *ask(route.signal, route.sender))
        for around in getattr(route.sender, "instruments", ()):
            receivers = tuple(around(receiver, transition) for receiver in receivers)
        route.receivers = receivers


def _by_keyword(receiver: Receiver) -> Receiver:
    """For `def f(sender, **payload)`, which takes nothing but keywords."""

    @functools.wraps(receiver)
    def call(sender: Any, state: Any, **extra: Any) -> None:
        receiver(sender, state=state, **extra)

    return call


def _keep(signal: Signal, sender: Any, receiver: Receiver) -> bool:
    """Let the sender own the receiver; False where one of the two cannot take part."""
    try:
        weakref.ref(receiver.__self__ if inspect.ismethod(receiver) else receiver)
        weakref.ref(sender)
        kept = vars(sender).setdefault(_KEPT, {})
    except TypeError:
        return False
    kept[signal.name, make_id(receiver)] = receiver
    return True


def _release(signal: Signal, sender: Any, receiver: Receiver) -> None:
    kept = getattr(sender, _KEPT, {})
    kept.pop((signal.name, make_id(receiver)), None)


def _takes(receiver: Receiver, *names: str) -> bool:
    """Whether it can be called `receiver(sender, state)`; the rest always comes by keyword."""
    try:
        signature = inspect.signature(receiver)
    except ValueError:  # some builtins tell nothing of themselves
        return True
    try:
        signature.bind(None, None, **dict.fromkeys(names[1:]))
    except TypeError:
        return False
    return True


def check_receiver(receiver: Any, signal: Signal) -> None:
    """Refuse what `signal` could not call.

    Raises:
        ReceiverError: says what was given, and what is expected.
    """
    if not callable(receiver):
        raise ReceiverError(f"cannot connect {receiver!r} to {signal.name}: it is not callable")
    expected = f"def f({', '.join(('trainer', *signal.payload))})"
    if inspect.iscoroutinefunction(receiver):
        raise ReceiverError(
            f"cannot connect {receiver_name(receiver)} to {signal.name}: it is a coroutine "
            f"function, and a receiver is called, not awaited; expected {expected}"
        )
    try:
        signature = inspect.signature(receiver)
    except ValueError:
        return
    try:
        signature.bind(None, **dict.fromkeys(signal.payload))
    except TypeError as why:
        raise ReceiverError(
            f"cannot connect {receiver_name(receiver)}{signature} to {signal.name}: "
            f"{why}; expected {expected}"
        ) from None


any_transition = Signal(
    "any_transition",
    "Every transition of every chart, before the signal of its own; the receiver also gets the "
    "`Transition`: `def f(trainer, state, transition)`. Costs nothing when nobody listens.",
    payload=("state", "transition"),
)

"""What the signals use of the `blinker` library that is not public: identities and tables.

blinker identifies receivers and senders by `make_id`, and each signal stores them in four tables.
No other file reads or changes the tables. tests/events/test_blinker_internals.py names each part
that a new version of the library has removed or changed; `pyproject.toml` excludes such versions.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from typing import Any

from blinker import ANY, NamedSignal
from blinker._utilities import make_id
from blinker.base import ANY_ID

from .lock import locked
from .order import Receiver
from .weak_receivers import reference

__all__ = ["ANY", "TABLES", "ConnectionTables", "make_id"]

TABLES = ("receivers", "_by_receiver", "_by_sender", "_weak_senders")
"""Attributes of a signal that have an entry for each connected receiver, or each sender."""


class ConnectionTables(NamedSignal):
    """A named signal that keeps its receivers in order of connection.

    Unlike in blinker, no entry remains in the tables when a receiver is disconnected, or when its
    sender is deleted. Subclasses override `refresh` and `_forget`.
    """

    def _is_connected(self, receiver: Receiver) -> bool:
        """Check that `receiver` is connected to some sender, or to all."""
        return make_id(receiver) in self.receivers

    def _is_strong(self, receiver: Receiver) -> bool:
        """Check that `receiver` is connected and that the signal keeps it alive."""
        stored = self.receivers.get(make_id(receiver))
        return stored is not None and not isinstance(stored, weakref.ref)

    def _senders_of(self, receiver: Receiver) -> list[Any]:
        """The objects to which `receiver` is connected."""
        identities = tuple(self._by_receiver.get(make_id(receiver), ()))
        found = [self._weak_senders[each]() for each in identities if each in self._weak_senders]
        return [sender for sender in found if sender is not None]

    def _make_weak(self, receiver: Receiver) -> None:
        """Replace the strong reference to a connected receiver by a weak one."""
        receiver_id = make_id(receiver)
        cleanup = self._make_cleanup_receiver(receiver_id)
        self.receivers[receiver_id] = reference(receiver, cleanup)

    def _connected_receivers(self, sender: Any) -> Generator[Receiver, None, None]:
        """Yield those connected to `sender`, to its name, or to all, in order of connection."""
        reached = {*self._by_sender.get(ANY_ID, ())}
        if sender is not ANY:
            reached.update(self._by_sender.get(make_id(sender), ()))
        name = getattr(sender, "name", "")
        if isinstance(name, str) and name:
            reached.update(self._by_sender.get(name, ()))
        # list() copies all keys at once: a garbage collection may disconnect at any moment
        for receiver_id in list(self.receivers):
            if receiver_id in reached:
                stored = self.receivers.get(receiver_id)
                receiver = stored() if isinstance(stored, weakref.ref) else stored
                if receiver is not None:
                    yield receiver

    @contextmanager
    def muted(self) -> Generator[None, None, None]:
        """Call no receiver while the block runs."""
        self.is_muted = True
        try:
            self.refresh()
            yield
        finally:
            self.is_muted = False
            self.refresh()

    def _forget(self, receiver_id: Hashable) -> None:
        """Called when a receiver is no longer connected to any sender."""

    def refresh(self) -> object:
        """Called after a receiver was disconnected, and when muting begins or ends."""

    @locked
    def _disconnect(self, receiver_id: Hashable, sender_id: Hashable) -> None:
        """Disconnect as blinker does, and delete the empty entries that it leaves."""
        connected = {*self._by_receiver.get(receiver_id, ())}
        is_last = sender_id == ANY_ID or connected == {sender_id}
        super()._disconnect(receiver_id, ANY_ID if is_last else sender_id)
        for left in connected if is_last else (sender_id,):
            if not self._by_sender.get(left, True):
                del self._by_sender[left]
                self._weak_senders.pop(left, None)
        if receiver_id not in self.receivers:
            self._forget(receiver_id)
        self.refresh()

    def _make_cleanup_sender(self, sender_id: Hashable) -> Callable[[weakref.ref[Any]], None]:
        """Disconnect the receivers of a deleted sender; blinker deletes only its own entry."""
        delete_entry = super()._make_cleanup_sender(sender_id)

        def cleanup(reference: weakref.ref[Any]) -> None:
            for receiver_id in tuple(self._by_sender.get(sender_id, ())):
                self._disconnect(receiver_id, sender_id)
            delete_entry(reference)

        return cleanup

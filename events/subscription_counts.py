"""How often those have been called that hear only some of the sends of a signal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from .filters import Filter, Once
from .order import receiver_name


class SubscriptionCounts:
    """The counts of functions subscribed with `every=` or `when=`, and who with `once=` is done.

    Each goes by its name and its signal, and by a number where it is subscribed several times.
    Methods are left out: the object that has them may have a state of its own.
    """

    def __init__(self) -> None:
        self._counting: WeakValueDictionary[str, Filter] = WeakValueDictionary()
        self._waiting: WeakValueDictionary[str, Once] = WeakValueDictionary()
        self._done: set[str] = set()

    def add(self, function: Any, signal: str, some: Filter | None, once: Once | None) -> None:
        """Keep an eye on a subscription for as long as it lives."""
        if (some is None and once is None) or hasattr(function, "__self__"):
            return
        name = self._free_name(f"{receiver_name(function)} at {signal}")
        if some is not None:
            self._counting[name] = some
        if once is not None:
            self._waiting[name] = once
            once.detach = self._ending(name, once.detach)

    def state_dict(self) -> dict[str, Any]:
        """Sends heard by name, and the names of those that wait for no further one."""
        counts = {name: some.heard for name, some in self._counting.items()}
        return {"counts": counts, "done": sorted(self._done)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count on from there; who is not subscribed here is passed over."""
        for name, count in state["counts"].items():
            if name in self._counting:
                self._counting[name].heard = count
        for name in state["done"]:
            if name in self._waiting:
                self._waiting[name].detach()

    def _ending(self, name: str, detach: Callable[[], None]) -> Callable[[], None]:
        def end() -> None:
            self._done.add(name)
            detach()

        return end

    def _free_name(self, name: str) -> str:
        taken = {*self._counting, *self._waiting, *self._done}
        number = 1
        while (name if number == 1 else f"{name} {number}") in taken:
            number += 1
        return name if number == 1 else f"{name} {number}"

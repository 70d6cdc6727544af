"""Counts of the functions that are subscribed with `every=`, `when=` or `once=`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from .filters import FilteredReceiver, OnceReceiver
from .order import receiver_name


class SubscriptionCounts:
    """Counts of filtered subscriptions, and which `once=` subscriptions were called, as a state.

    The key is the function's name and its signal, and a number if it is subscribed several times.
    Methods are not included: their object may have a state of its own.
    """

    def __init__(self) -> None:
        self._filtered: WeakValueDictionary[str, FilteredReceiver] = WeakValueDictionary()
        self._pending: WeakValueDictionary[str, OnceReceiver] = WeakValueDictionary()
        self._done: set[str] = set()
        self._warned: set[str] = set()

    def add(
        self,
        function: Any,
        signal: str,
        filtered: FilteredReceiver | None,
        once: OnceReceiver | None,
    ) -> None:
        """Include a subscription for as long as it lives."""
        if (filtered is None and once is None) or hasattr(function, "__self__"):
            return
        name = self._unused_name(f"{receiver_name(function)} at {signal}")
        if filtered is not None:
            self._filtered[name] = filtered
        if once is not None:
            self._pending[name] = once
            once.detach = self._recording_detach(name, once.detach)

    def state_dict(self) -> dict[str, Any]:
        """Counts by name, and the names of `once=` subscriptions that were called."""
        filtered = self._filtered.items() if self._filtered else ()
        counts = {name: each.count for name, each in filtered}
        return {"counts": counts, "done": sorted(self._done)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from these counts; names that are not subscribed here are skipped."""
        for name, count in state["counts"].items():
            if name in self._filtered:
                self._filtered[name].count = count
        for name in state["done"]:
            if name in self._pending:
                self._pending[name].detach()

    def warn_if_never_called(self) -> None:
        """At the end of a fit, name the subscriptions whose `every=` was not reached, once."""
        for name, filtered in sorted(self._filtered.items()):
            if 0 < filtered.count < filtered.every and name not in self._warned:
                self._warned.add(name)
                warnings.warn(
                    f"{name}: every={filtered.every} was not reached: {filtered.count} counted "
                    "up to the end of this fit; it was never called",
                    stacklevel=2,
                )

    def _recording_detach(self, name: str, detach: Callable[[], None]) -> Callable[[], None]:
        def record_and_detach() -> None:
            self._done.add(name)
            detach()

        return record_and_detach

    def _unused_name(self, name: str) -> str:
        used = {*self._filtered, *self._pending, *self._done}
        number = 1
        while (name if number == 1 else f"{name} {number}") in used:
            number += 1
        return name if number == 1 else f"{name} {number}"

"""Who receives a signal, in which order and why, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from .conflicts import conflicts_at
from .handler_discovery import SentSignals
from .order import receiver_name
from .signal import Signal, any_transition


class Explanation(str):
    """Text that an interactive prompt shows without quotes."""

    __repr__ = str.__str__

    @classmethod
    def of(cls, signal: Signal, sender: Any, sent: SentSignals) -> Explanation:
        """A line for each receiver of a signal, and one for each conflict among them."""
        both = (any_transition, signal) if signal.name in sender.signals else (signal,)
        ordered = [receiver for each in both for receiver in each.arranged(sender)]
        lines = [
            f"{number:3}. {receiver_name(receiver)}: {reason}"
            for number, (receiver, reason) in enumerate(ordered, 1)
        ]
        found = conflicts_at(signal.name, ordered, sender.handlers, sent)
        return cls("\n".join([f"{signal.name}: {len(lines)} to run", *lines, *map(str, found)]))

    @classmethod
    def by_handler(cls, handlers: Iterable[Any], topic: str) -> Self | None:
        """What the first handler with a method `explain_<topic>` says; None without one."""
        methods = (getattr(handler, f"explain_{topic}", None) for handler in handlers)
        return next((cls(method()) for method in methods if method is not None), None)

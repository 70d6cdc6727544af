"""Who receives a signal, in which order and why, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from .order import OrderedReceiver, receiver_name


class Explanation(str):
    """Text that an interactive prompt shows without quotes."""

    __repr__ = str.__str__

    @classmethod
    def of(cls, signal: str, receivers: Iterable[OrderedReceiver]) -> Explanation:
        """A line for each receiver of a signal."""
        lines = [
            f"{number:3}. {receiver_name(receiver)}: {reason}"
            for number, (receiver, reason) in enumerate(receivers, 1)
        ]
        return cls("\n".join([f"{signal}: {len(lines)} to run", *lines]))

    @classmethod
    def by_handler(cls, handlers: Iterable[Any], topic: str) -> Self | None:
        """What the first handler with a method `explain_<topic>` says; None without one."""
        methods = (getattr(handler, f"explain_{topic}", None) for handler in handlers)
        return next((cls(method()) for method in methods if method is not None), None)

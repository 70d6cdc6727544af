"""Who receives a signal, in which order and why, as text."""

from __future__ import annotations

from collections.abc import Iterable

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

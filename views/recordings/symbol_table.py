"""What the ids in records stand for."""

from __future__ import annotations

import json
from typing import NamedTuple

from ...handlers.recording.format import MAX_IDS
from .untrusted_input import clean, fits, is_a


class TransitionEntry(NamedTuple):
    """A transition of the compiled chart."""

    trigger: str
    source: str
    destination: str
    row: int
    """The index of the row of `Meta.rows` that makes it; -1: one of another chart."""

    @property
    def kind(self) -> str:
        """What makes it happen: "normal", "cancel" or "error"."""
        if self.trigger == "after_error":
            return "error"
        return "cancel" if self.trigger.startswith("after_cancel_") else "normal"


class ReceiverEntry(NamedTuple):
    """A receiver at one signal."""

    name: str
    signal: str
    module: str

    def __str__(self) -> str:
        own = self.name.endswith(f".{self.signal}")
        return self.name if own else f"{self.name} at {self.signal}"


class CancelEntry(NamedTuple):
    """A cancel, in the words of whoever raised it."""

    type: str
    reason: str
    raised_by: str
    raised_in: str

    def __str__(self) -> str:
        return f"{self.type}({self.reason!r}) raised by {self.raised_by} in {self.raised_in}"


class ErrorEntry(NamedTuple):
    """An error that ended a run."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class ScalarEntry(NamedTuple):
    """A number that was recorded: `loss`, `lr`, a metric."""

    name: str


Entry = TransitionEntry | ReceiverEntry | CancelEntry | ErrorEntry | ScalarEntry

_ENTRIES: dict[str, type[Entry]] = {
    "transition": TransitionEntry,
    "receiver": ReceiverEntry,
    "cancel": CancelEntry,
    "error": ErrorEntry,
    "scalar": ScalarEntry,
}


class Table:
    """What the ids in records stand for, by kind; it grows while the run goes on.

    An id that the table has no room for, or no line, stands for an entry of question marks.
    """

    def __init__(self) -> None:
        self.transitions: dict[int, TransitionEntry] = {}
        self.receivers: dict[int, ReceiverEntry] = {}
        self.cancels: dict[int, CancelEntry] = {}
        self.errors: dict[int, ErrorEntry] = {}
        self.scalars: dict[int, ScalarEntry] = {}

    def transition(self, identity: int) -> TransitionEntry:
        return self.transitions.get(identity, TransitionEntry("?", "?", "?", -1))

    def receiver(self, identity: int) -> ReceiverEntry:
        return self.receivers.get(identity, ReceiverEntry("?", "?", "?"))

    def cancel(self, identity: int) -> CancelEntry:
        return self.cancels.get(identity, CancelEntry("?", "", "", ""))

    def error(self, identity: int) -> ErrorEntry:
        return self.errors.get(identity, ErrorEntry("?", ""))

    def scalar(self, identity: int) -> str:
        return self.scalars.get(identity, ScalarEntry("?")).name

    def add(self, line: bytes) -> bool:
        """Take in a line of the table; False: it is none."""
        try:
            kind, identity, *fields = json.loads(line)
            entry = _ENTRIES[kind]
        except (ValueError, TypeError, KeyError, RecursionError):
            return False
        if not (is_a(int, identity) and 0 < identity < MAX_IDS and fits(entry, fields)):
            return False
        getattr(self, f"{kind}s")[identity] = entry(*map(clean, fields))
        return True

"""The symbol table of a recording: it maps the ids in records to names."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ...handlers.recording.format import COLLECTIVE, MAX_IDS, VOTE
from .untrusted_input import has_field_types, has_type, printable_line, printable_names


class TransitionEntry(NamedTuple):
    """A transition of the compiled chart."""

    trigger: str
    source: str
    destination: str
    row: int
    """The index of its row in `Meta.rows`; -1: the transition belongs to another chart."""

    @property
    def kind(self) -> str:
        """The cause: "normal", "cancel" or "error"."""
        if self.trigger == "after_error":
            return "error"
        return "cancel" if self.trigger.startswith("after_cancel_") else "normal"


class ReceiverEntry(NamedTuple):
    """A receiver of one signal; or a wait for the other ranks, whose signal is the phase."""

    name: str
    signal: str
    module: str

    @property
    def is_wait(self) -> bool:
        """Whether it stands for what this rank waits for the others in."""
        return (self.name, self.module) == VOTE or self.module == COLLECTIVE

    def __str__(self) -> str:
        names_signal = self.name.endswith(f".{self.signal}")
        return self.name if names_signal else f"{self.name} at {self.signal}"


class CancelEntry(NamedTuple):
    """A cancel: its type, its reason, and where it was raised."""

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
    """The name of a recorded number: `loss`, `lr`, a metric."""

    name: str


class FactsEntry(NamedTuple):
    """The facts of a run, a text of JSON."""

    text: str


Entry = TransitionEntry | ReceiverEntry | CancelEntry | ErrorEntry | ScalarEntry | FactsEntry

_ENTRIES: dict[str, type[Entry]] = {
    "transition": TransitionEntry,
    "receiver": ReceiverEntry,
    "cancel": CancelEntry,
    "error": ErrorEntry,
    "scalar": ScalarEntry,
    "facts": FactsEntry,
}


class SymbolTable:
    """Maps the ids in records to entries, by kind; it grows while the run is recorded.

    An id without an entry, because the table is full or not yet read, gives one of question marks.
    """

    def __init__(self) -> None:
        self.transitions: dict[int, TransitionEntry] = {}
        self.receivers: dict[int, ReceiverEntry] = {}
        self.cancels: dict[int, CancelEntry] = {}
        self.errors: dict[int, ErrorEntry] = {}
        self.scalars: dict[int, ScalarEntry] = {}
        self.facts: dict[str, Any] = {}

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
        """Add a line of the table; return False if the line is not valid."""
        try:
            kind, identity, *fields = json.loads(line)
            entry = _ENTRIES[kind]
        except (ValueError, TypeError, KeyError, RecursionError):
            return False
        if not (
            has_type(int, identity) and 0 < identity < MAX_IDS and has_field_types(entry, fields)
        ):
            return False
        if kind == "facts":
            return self._set_facts(fields[0])
        getattr(self, f"{kind}s")[identity] = entry(*map(printable_line, fields))
        return True

    def _set_facts(self, text: str) -> bool:
        try:
            facts = json.loads(text)
        except (ValueError, RecursionError):
            return False
        if isinstance(facts, dict):
            self.facts = printable_names(facts)
        return isinstance(facts, dict)

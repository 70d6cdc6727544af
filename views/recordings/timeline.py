"""From records to what happened: phases and receivers that opened and closed, and moments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from ...handlers.recording.format import Kind
from .records import Record
from .symbol_table import Table, TransitionEntry

Lane = Literal["phases", "receivers"]


class Opened(NamedTuple):
    """A scope, a phase or a receiver begins; it lies within those of its lane that are open."""

    time_ns: int
    lane: Lane
    name: str


class Closed(NamedTuple):
    """What was opened last in a lane ends."""

    time_ns: int
    lane: Lane


class Moment(NamedTuple):
    """A cancel or an error."""

    time_ns: int
    kind: Literal["cancel", "error"]
    text: str


class Sample(NamedTuple):
    """The value of a scalar."""

    time_ns: int
    name: str
    value: float


Happening = Opened | Closed | Moment | Sample


def walk(records: Iterable[Record], table: Table) -> Iterator[Happening]:
    """What happened, in order of time; whatever is open at the end is closed at the last record.

    Resting phases (`idle`, `completed`, …) are no happening. Where the ring has lost the
    beginning, what was open there opens at the first transition that is left.
    """
    open_phases: list[str] = []
    receivers: list[int] = []
    time = 0
    for record in records:
        time = record.time_ns
        if record.kind == Kind.TRANSITION:
            yield from _moved(open_phases, table.transition(record.id), time)
        elif record.kind == Kind.BEGIN_RECEIVER:
            receivers.append(record.id)
            yield Opened(time, "receivers", table.receiver(record.id).name)
        elif record.kind == Kind.END_RECEIVER:
            yield from _returned(receivers, record.id, time)
        elif record.kind != Kind.POSITION:
            yield _moment(record, table)
    yield from (Closed(time, "receivers") for _ in receivers)
    yield from (Closed(time, "phases") for _ in open_phases)


def _moved(open_phases: list[str], entry: TransitionEntry, time: int) -> Iterator[Happening]:
    """Close what the transition leaves, innermost first, and open what it enters."""
    path = entry.destination.split(".") if "." in entry.destination else []
    scopes = path[:-1]
    kept = 0
    while kept < len(scopes) and open_phases[kept : kept + 1] == [scopes[kept]]:
        kept += 1
    for _ in open_phases[kept:]:
        yield Closed(time, "phases")
    for name in path[kept:]:
        yield Opened(time, "phases", name)
    open_phases[:] = path


def _returned(receivers: list[int], identity: int, time: int) -> Iterator[Happening]:
    """Close a receiver, and those within it whose end an interrupt has swallowed."""
    if identity not in receivers:  # the ring has lost its begin
        return
    while receivers:
        yield Closed(time, "receivers")
        if receivers.pop() == identity:
            return


def _moment(record: Record, table: Table) -> Happening:
    if record.kind == Kind.SCALAR:
        return Sample(record.time_ns, table.scalar(record.id), record.value)
    if record.kind == Kind.CANCEL:
        return Moment(record.time_ns, "cancel", str(table.cancel(record.id)))
    return Moment(record.time_ns, "error", str(table.error(record.id)))

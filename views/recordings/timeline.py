"""Convert records into timeline events: slices of phases and receivers, instants, samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from ...handlers.recording.format import Kind
from .records import Record
from .symbol_table import SymbolTable, TransitionEntry

Lane = Literal["phases", "receivers"]


class SliceBegin(NamedTuple):
    """The begin of a scope, a phase or a receiver; slices of a lane are nested."""

    time_ns: int
    lane: Lane
    name: str


class SliceEnd(NamedTuple):
    """The end of the innermost open slice of a lane."""

    time_ns: int
    lane: Lane


class Instant(NamedTuple):
    """A cancel or an error."""

    time_ns: int
    kind: Literal["cancel", "error"]
    text: str


class CounterSample(NamedTuple):
    """The value of a scalar."""

    time_ns: int
    name: str
    value: float


TimelineEvent = SliceBegin | SliceEnd | Instant | CounterSample


def timeline_events(records: Iterable[Record], table: SymbolTable) -> Iterator[TimelineEvent]:
    """Events in order of time; slices that are open at the end are closed at the last record.

    Resting phases (`idle`, `completed`, …) have no slice. If the ring has lost the first records,
    the slices that were open then begin at the first transition that is left.
    """
    open_phases: list[str] = []
    open_receivers: list[int] = []
    time = 0
    for record in records:
        time = record.time_ns
        if record.kind == Kind.TRANSITION:
            yield from _change_phase(open_phases, table.transition(record.id), time)
        elif record.kind == Kind.BEGIN_RECEIVER:
            open_receivers.append(record.id)
            yield SliceBegin(time, "receivers", table.receiver(record.id).name)
        elif record.kind == Kind.END_RECEIVER:
            yield from _close_receiver(open_receivers, record.id, time)
        elif record.kind != Kind.POSITION:
            yield _instant_or_sample(record, table)
    yield from (SliceEnd(time, "receivers") for _ in open_receivers)
    yield from (SliceEnd(time, "phases") for _ in open_phases)


def _change_phase(
    open_phases: list[str], entry: TransitionEntry, time: int
) -> Iterator[TimelineEvent]:
    """Close the slices that the transition leaves, innermost first, and open those it enters."""
    path = entry.destination.split(".") if "." in entry.destination else []
    scopes = path[:-1]
    kept = 0
    while kept < len(scopes) and open_phases[kept : kept + 1] == [scopes[kept]]:
        kept += 1
    for _ in open_phases[kept:]:
        yield SliceEnd(time, "phases")
    for name in path[kept:]:
        yield SliceBegin(time, "phases", name)
    open_phases[:] = path


def _close_receiver(open_receivers: list[int], identity: int, time: int) -> Iterator[TimelineEvent]:
    """Close a receiver, and nested ones whose end was not recorded because of an interrupt."""
    if identity not in open_receivers:  # the ring has lost its begin
        return
    while open_receivers.pop() != identity:
        yield SliceEnd(time, "receivers")
    yield SliceEnd(time, "receivers")


def _instant_or_sample(record: Record, table: SymbolTable) -> TimelineEvent:
    if record.kind == Kind.SCALAR:
        return CounterSample(record.time_ns, table.scalar(record.id), record.value)
    if record.kind == Kind.CANCEL:
        return Instant(record.time_ns, "cancel", str(table.cancel(record.id)))
    return Instant(record.time_ns, "error", str(table.error(record.id)))

"""What the engine uses of the `transitions` library: its tables, its callback lists, one call.

The compiled table skips the library, so it has to know of every callback that the library would
call. An object of a class, or with an attribute, that is not listed here counts as if it had a
callback: its rows are not compiled. tests/engine/statechart/test_transitions_internals.py names
each part that a new version of the library has removed, changed or added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from transitions import MachineError
from transitions.extensions.nesting import (
    HierarchicalMachine,
    NestedEvent,
    NestedState,
    NestedTransition,
)

from .phase_paths import enclosing

__all__ = [
    "MachineError",
    "fire",
    "first_rows",
    "has_callbacks",
    "has_row",
    "phases_of",
    "rows_by_source",
    "triggers",
]


class Phase(NestedState):
    """A phase of a chart; a path is written with dots."""

    separator = "."


class Machine(HierarchicalMachine):
    """A hierarchical machine whose phases are written with dots."""

    state_cls = Phase


class KnownAttributes(NamedTuple):
    """The attributes of a class of the library: those that hold callbacks, and the others."""

    callbacks: frozenset[str]
    data: frozenset[str]


KNOWN: Mapping[type, KnownAttributes] = {
    Machine: KnownAttributes(
        callbacks=frozenset(
            {
                *("before_state_change", "after_state_change", "prepare_event", "finalize_event"),
                *("on_exception", "on_final"),
                *("_before_state_change", "_after_state_change", "_prepare_event"),
                *("_finalize_event", "_on_exception", "_on_final"),
            }
        ),
        data=frozenset(
            {
                *("states", "events", "models", "model", "name", "initial", "_initial"),
                *("send_event", "auto_transitions", "ignore_invalid_triggers", "model_attribute"),
                *("model_override", "has_queue", "_queued", "_transition_queue"),
                *("scoped", "prefix_path", "_stack", "_next_scope"),
            }
        ),
    ),
    NestedEvent: KnownAttributes(
        callbacks=frozenset(), data=frozenset({"name", "machine", "transitions"})
    ),
    Phase: KnownAttributes(
        callbacks=frozenset({"on_enter", "on_exit", "on_final"}),
        data=frozenset(
            {
                *("name", "_name", "value", "states", "initial", "final", "_scope"),
                "ignore_invalid_triggers",
            }
        ),
    ),
    NestedTransition: KnownAttributes(
        callbacks=frozenset({"conditions", "prepare", "before", "after"}),
        data=frozenset({"source", "dest"}),
    ),
}
"""`events` of a phase is not among them: the library tries those transitions before others."""

PROPERTIES = {
    kind: frozenset(name for name in dir(kind) if isinstance(getattr(kind, name), property))
    for kind in KNOWN
}


class MachineRow(NamedTuple):
    """A transition of the machine, and whether firing it may call a callback of its own."""

    source: str
    destination: str
    has_callbacks: bool


RowsBySource: TypeAlias = dict[str, dict[str, MachineRow]]


def has_callbacks(part: Any) -> bool:
    """Check whether a machine, phase, event or transition holds a callback, or may hold one.

    Cost: about two microseconds.
    """
    known = KNOWN.get(type(part))
    if known is None:
        return True
    for name, value in vars(part).items():
        if value and name not in known.data:
            return True
    return any(getattr(part, name) for name in WATCHED[type(part)])


def attributes(part: Any) -> set[str]:
    """Attributes of an object, and callback lists and properties declared by its class."""
    return {*vars(part), *declared(type(part))}


def declared(kind: type) -> set[str]:
    """Callback lists and properties that a class declares."""
    return {*getattr(kind, "dynamic_methods", ()), *PROPERTIES[kind]}


WATCHED = {
    kind: frozenset((declared(kind) | known.callbacks) - known.data)
    for kind, known in KNOWN.items()
}
"""What may hold callbacks of an object of a class, besides attributes that are its own."""


def triggers(machine: Machine) -> Iterable[str]:
    """The triggers of all rows of `machine`."""
    names: Iterable[str] = machine.events
    return names


def rows_by_source(machine: Machine) -> RowsBySource:
    """For each phase with rows of its own, by trigger the one that the library tries first."""
    rows: RowsBySource = {}
    for trigger, event in machine.events.items():
        is_watched = has_callbacks(event)
        for source, transitions in event.transitions.items():
            if transitions:
                first: Any = transitions[0]
                row = MachineRow(first.source, first.dest, is_watched or has_callbacks(first))
                rows.setdefault(source, {})[trigger] = row
    return rows


def first_rows(rows: RowsBySource, phase: str) -> dict[str, MachineRow]:
    """By trigger the row that the library tries first in `phase`; the innermost source wins."""
    found: dict[str, MachineRow] = {}
    for source in (*reversed(enclosing(phase)), phase):
        found |= rows.get(source, {})
    return found


def has_row(machine: Machine, phase: str, trigger: str) -> bool:
    """Whether a row leads out of `phase` by `trigger`."""
    event = machine.events.get(trigger)
    return event is not None and any(
        event.transitions.get(source) for source in (phase, *enclosing(phase))
    )


def phases_of(machine: Machine) -> dict[str, NestedState]:
    """Every phase of `machine` by its path, a scope before the phases inside it.

    The library's own walk enters scopes of the machine; an interrupt would leave it in one.
    """
    return dict(_walk(machine.states, ""))


def fire(machine: Machine, trigger: str, argument: Any) -> bool:
    """Make a transition on the machine; its conditions and callbacks are called with `argument`.

    Returns:
        False if a condition refused it.

    Raises:
        MachineError: no row leads out of the live phase by this trigger.
    """
    return bool(machine.trigger_event(machine.models[0], trigger, argument))


def _walk(phases: Mapping[str, NestedState], parent: str) -> Iterator[tuple[str, NestedState]]:
    for name, phase in phases.items():
        yield parent + name, phase
        yield from _walk(phase.states, f"{parent}{name}.")

"""A machine compiled for speed: each leaf and trigger to what follows, in a dict.

Stepping the machine through its library costs hundreds of microseconds; a lookup costs tens of
nanoseconds. A row on which somebody hung a condition or a callback is not compiled: it goes
through the library, at the library's speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from transitions import MachineError

from ...events import Publisher, TrainState, Transition, signal
from ...events.signal import Route, link
from .machine import Machine, phases_of
from .phase_paths import enclosing, inside, scope_name

Activity = Callable[[TrainState], str]

_ON_THE_WAY_OUT = (".cancelled", ".failing")


class IllegalTransitionError(RuntimeError):
    """A trigger was fired in a phase that has no row for it, or a condition refused it."""


class Row(Route):
    """One compiled transition: where it leads, and the receivers to which it is published."""

    __slots__ = ("leaf",)

    def __init__(self, leaf: Leaf, sender: Publisher, transition: Transition) -> None:
        super().__init__(signal(transition.trigger), sender, transition)
        self.leaf = leaf


class Broken(Row):
    """A row that was made, and whose callback then raised: it is published before the error."""

    __slots__ = ("error",)

    def __init__(self, row: Row, error: BaseException) -> None:
        super().__init__(Leaf(row.leaf.phase, self._fail), row.sender, row.transition)
        self.receivers = row.receivers
        self.error = error

    def _fail(self, state: TrainState) -> str:
        raise self.error


class Leaf:
    """A leaf phase: its activity, None where the machine rests, and the rows that lead out.

    `rows` has every legal trigger. `exits` has those that an activity may return, `closes` those
    that close scopes; a row that is not compiled goes through the library when they are asked.
    `expected` is the first trigger of the chart that is a compiled exit, `usual` its row: between
    the batches of a model the cache is cold, and a comparison touches less of it than a lookup.
    """

    __slots__ = ("activity", "closes", "exits", "expected", "phase", "rows", "usual")

    usual: Row

    def __init__(self, phase: str, activity: Activity | None) -> None:
        self.phase = phase
        self.activity = activity
        self.exits: dict[str, Row] = {}
        self.closes: dict[str, Row] = {}
        self.rows: dict[str, Row] = {}
        self.expected: str | None = None

    def expect_the_first(self) -> None:
        """Take the first of the compiled exits for the usual one."""
        for trigger, row in self.exits.items():
            self.expected, self.usual = trigger, row
            return


class Exits(dict[str, Row]):
    """The compiled rows out of a leaf; the library, and its refusals, for the others."""

    __slots__ = ("_allowed", "_leaf", "_library")

    def __init__(self, leaf: Leaf, library: Library) -> None:
        self._leaf = leaf
        self._library = library
        self._allowed: list[str] = []

    def allow(self, trigger: str, compiled: bool) -> None:
        """Take in a row of the leaf; one that is not compiled is left to the library."""
        self._allowed.append(trigger)
        if compiled:
            self[trigger] = self._leaf.rows[trigger]

    def __missing__(self, trigger: str) -> Row:
        if trigger not in self._allowed:
            raise IllegalTransitionError(
                f"cannot fire {trigger!r} in {self._leaf.phase}; allowed here: "
                f"{', '.join(self._allowed)}"
            )
        return self._library.fire(self._leaf, trigger)


class Library:
    """Fires the rows that are not compiled, on the machine itself."""

    def __init__(self, machine: Machine, state: TrainState, sender: Publisher) -> None:
        self.machine = machine
        self.state = state
        self.sender = sender
        self.leaves: dict[str, Leaf] = {}

    def fire(self, leaf: Leaf, trigger: str) -> Row:
        """Make the transition on the machine; conditions and callbacks get the TrainState.

        Raises:
            IllegalTransitionError: a condition refused; the phase is as it was.
        """
        try:
            moved = self.machine.trigger_event(self.machine.models[0], trigger, self.state)
        except MachineError as error:
            raise IllegalTransitionError(str(error)) from error
        except BaseException as error:
            if self.state.phase == leaf.phase:
                raise
            return Broken(self._row(leaf, trigger), error)
        if not moved and self.state.phase == leaf.phase:
            raise IllegalTransitionError(f"a condition on {trigger!r} in {leaf.phase} refused it")
        return self._row(leaf, trigger)

    def _row(self, leaf: Leaf, trigger: str) -> Row:
        known = leaf.rows[trigger]
        if known.leaf.phase == self.state.phase:
            return known
        row = self.row(leaf, trigger, self.state.phase)
        link([row])
        return row

    def row(self, leaf: Leaf, trigger: str, destination: str) -> Row:
        """A row from `leaf` to `destination`; it is still to be linked."""
        transition = Transition(trigger, leaf.phase, destination)
        return Row(self.leaves[destination], self.sender, transition)


def compile_table(
    machine: Machine,
    state: TrainState,
    sender: Publisher,
    activity_of: Callable[[str], Activity | None],
) -> dict[str, Leaf]:
    """Every leaf phase of `machine` by name, its rows compiled where they can be.

    Cost: about a millisecond; once a run.
    """
    library = Library(machine, state, sender)
    states = phases_of(machine)
    for path, found in states.items():
        if not found.states:
            library.leaves[path] = Leaf(path, activity_of(path))
    watched = {path for path, found in states.items() if _is_watched(found)}
    plain = not _is_machine_watched(machine)
    for leaf in library.leaves.values():
        leaf.exits, leaf.closes = exits, closes = Exits(leaf, library), Exits(leaf, library)
        for trigger in machine.events:
            for candidate in _candidates(machine, leaf.phase, trigger):
                leaf.rows[trigger] = library.row(leaf, trigger, _leaf_of(candidate, library))
                compiled = plain and _is_plain(candidate, leaf.phase, watched)
                closes.allow(trigger, compiled)
                if _is_work(leaf.rows[trigger].transition):
                    exits.allow(trigger, compiled)
                break
        leaf.expect_the_first()
    link([row for leaf in library.leaves.values() for row in leaf.rows.values()])
    return library.leaves


def _leaf_of(transition: Any, library: Library) -> str:
    """The leaf phase that a row of the machine leads to; refuses another destination."""
    destination: str = transition.dest
    if destination not in library.leaves:
        raise IllegalTransitionError(
            f"row ({transition.source!r} → {destination!r}) does not lead to a leaf phase"
        )
    leaf = library.leaves[destination]
    if leaf.activity is None and "." in destination and not destination.endswith(_ON_THE_WAY_OUT):
        raise IllegalTransitionError(
            f"row ({transition.source!r} → {destination!r}): that phase has no activity, so a run "
            "would end in it with its scopes open; give it one, activities={…}"
        )
    return destination


def _candidates(machine: Machine, phase: str, trigger: str) -> Iterator[Any]:
    """The transitions that the library would try for `trigger` in `phase`, innermost first."""
    by_source = machine.events[trigger].transitions
    for source in (phase, *enclosing(phase)):
        yield from by_source.get(source, ())


def _is_work(transition: Transition) -> bool:
    """Whether an activity may fire it: it closes at most the innermost scope, by its own name."""
    if transition.trigger == "after_error" or transition.trigger.startswith("after_cancel_"):
        return False
    left = [c for c in enclosing(transition.source) if not inside(transition.destination, c)]
    return not left or (len(left) == 1 and transition.trigger == f"after_{scope_name(left[0])}")


def _is_plain(transition: Any, phase: str, watched: set[str]) -> bool:
    """Whether nobody hung a condition or a callback on it, or on a phase that it touches."""
    hung = transition.conditions or transition.prepare or transition.before or transition.after
    touched = {phase, *enclosing(phase), transition.dest, *enclosing(transition.dest)}
    return not hung and watched.isdisjoint(touched)


def _is_watched(state: Any) -> bool:
    return bool(state.on_enter or state.on_exit or state.on_final)


def _is_machine_watched(machine: Machine) -> bool:
    return bool(
        machine.prepare_event
        or machine.before_state_change
        or machine.after_state_change
        or machine.finalize_event
        or machine.on_exception
        or machine.on_final
    )

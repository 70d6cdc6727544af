"""The engine: runs the activity of the live phase, makes the transition, publishes it, again."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NoReturn

from ...events import Cancel, Publisher, TrainState, Transition
from ...events.order import Receiver
from ...events.signal import unlink
from ..statechart.chart import Row as ChartRow
from ..statechart.compiled_table import Activity, Leaf, Row, compile_table
from ..statechart.machine import Machine, build, phases_of
from ..statechart.phase_paths import open_scopes
from ..statechart.topology import Topology
from .activity_registry import ActivityRegistry, Wrapper
from .cancel_requests import Requests
from .unwinding import Closing, raiser

if TYPE_CHECKING:
    from ..diagram.diagram import Diagram


class BusyError(RuntimeError):
    """The engine is running already: from a handler, another thread, or an open iterator."""


class Engine(Publisher):
    """A chart with activities: a Moore machine that publishes every transition.

    Args:
        chart: the rows (see `chart`).
        activities: for each leaf in which work is done, by the end of its path, a function of the
            TrainState that returns the next trigger. A leaf without one is where a run ends.
        state: what the activities and the handlers share.
        outermost: wraps that stand around every other one.
        name: what modules may subscribe by (see `Publisher`).

    Raises:
        ChartError: the chart is unsound.
    """

    def __init__(
        self,
        chart: Sequence[ChartRow],
        activities: Mapping[str, Activity],
        state: TrainState,
        outermost: Sequence[tuple[str, Wrapper]] = (),
        name: str = "",
    ) -> None:
        super().__init__(name)
        self.state = state
        self._registry = ActivityRegistry(activities, outermost)
        self._topology = Topology(chart)
        self._machine = build(self._topology, state)
        self._first = chart[0][0]
        self._table: dict[str, Leaf] = {}
        self._runs: dict[str, object] = {}  # the live one, if any; setdefault takes it in one piece
        self.requests = Requests(state)
        """Cancels and pauses that are asked for from outside the run."""
        self._closing: Closing | None = None

    @property
    def topology(self) -> Topology:
        """The phases and rows of the chart that it was made with."""
        return self._topology

    @property
    def diagram(self) -> Diagram:
        """The picture of that chart, and of who hears which signal just now."""
        from ..diagram.diagram import Diagram, heard_from  # noqa: PLC0415  # drawing is rare

        return Diagram(self._topology, heard_from(self, self._topology))

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draw the chart to a file (see `Diagram.save`).

        Raises:
            ValueError: its suffix is none that can be drawn.
        """
        self.diagram.save(path)

    def _repr_svg_(self) -> str:
        return self.diagram.svg

    @property
    def is_closing(self) -> bool:
        """Whether a cancel or an error is closing scopes, or will with the next transition."""
        return self._closing is not None

    @property
    def machine(self) -> Machine:
        """The `transitions` machine: its model's phase is the live phase, its rows the law.

        States, transitions, conditions and callbacks that a host adds hold from the next run on.
        """
        return self._machine

    @property
    def activities(self) -> Collection[str]:
        """Names of the activities that can be wrapped."""
        return self._registry.names

    def wrap(self, name: str, wrapper: Callable[[Any], Any]) -> Callable[[], None]:
        """Have `wrapper(activity)` stand for the activity `name`; gives back the undo.

        A context manager that is a decorator will do: `wrap("forward", torch.autocast("cpu"))`.
        To replace an activity, ignore it: `wrap("loss", lambda _: my_loss)`.

        Raises:
            ValueError: there is no such activity; the nearest is named.
        """
        undo = self._registry.wrap(name, wrapper)
        self._rewire()

        def unwrap() -> None:
            undo()
            self._rewire()

        return unwrap

    def request(self, cancel: Cancel) -> None:
        """Ask for a cancel: from another thread, a signal handler, or between two transitions.

        It takes effect at the next transition, before the work of the phase entered. Requests
        merge: the outermost scope wins, the others are in its `also`. A cancel means the scope
        that is open when it is asked for; if that has closed by then, it lapses. If none is open
        it waits for the next one, while the scope around it stays open: `batch`, between two,
        closes the next batch of the pass, `validate`, in training, the validation of this epoch.

        Raises:
            TypeError: it is no cancel.
            ValueError: what is running has no such scope.
            IllegalCancelError: nothing is running.
        """
        self.requests.add(cancel)

    def steps(self) -> Generator[Transition, None, None]:
        """Make one transition each time the iterator is asked; close it to cancel the run.

        Raises:
            BusyError: at the first transition, if the engine is running already.
        """
        return self._drive(self._machine, self._first, nullcontext(), stepwise=True)

    def run(self) -> TrainState:
        """Make all transitions of a run."""
        for _ in self._drive(self._machine, self._first, nullcontext(), stepwise=False):
            pass
        return self.state

    def _drive(
        self,
        machine: Machine,
        first: str,
        session: AbstractContextManager[None],
        stepwise: bool,
    ) -> Generator[Transition, None, None]:
        """A run: yields each transition if it is driven stepwise, nothing otherwise.

        It makes the transition `first`, unless `session` has put it where another one was left.
        """
        run = object()
        try:
            if self._runs.setdefault("live", run) is not run:
                raise self._busy(first)
            self.requests.open(phases_of(machine))
            with session:
                self._table = compile_table(machine, self.state, self, self._registry.of)
                start = self._table[self.state.phase]
                if not open_scopes(start.phase):
                    start = Leaf(start.phase, lambda _: first)
                    start.exits = self._table[start.phase].exits
                yield from self._transitions(start, stepwise)
        finally:
            # nothing is called before the inner try: an interrupt comes with a call
            if "live" in self._runs and self._runs["live"] is run:
                try:
                    self.requests.close()
                    unlink([row for leaf in self._table.values() for row in leaf.rows.values()])
                    self._table = {}
                finally:
                    del self._runs["live"]

    def _busy(self, first: str) -> BusyError:
        return BusyError(
            f"cannot {first} while this {type(self).__name__} is in {self.state.phase}: let "
            "the run end, cancel it, or close its iterator; use another trainer beside it"
        )

    def _transitions(self, leaf: Leaf, stepwise: bool) -> Generator[Transition, None, None]:
        """The loop. Nothing here makes an object, formats, or reads a clock."""
        state, requests = self.state, self.requests
        sending = False
        receivers: tuple[Receiver, ...] = ()
        receive: Receiver | None = None
        row: Row | None = None
        while True:
            try:
                while True:  # CPython 3.11 specialises a loop only if it jumps back unconditionally
                    work = leaf.activity
                    if work is None:
                        return
                    if requests.pending:
                        requests.answer()
                    trigger = work(state)
                    row = leaf.usual if trigger is leaf.expected else leaf.exits[trigger]
                    leaf = row.leaf
                    state.phase = leaf.phase
                    if receivers := row.receivers:
                        receive = receivers[0]
                        sending = True
                        for receive in receivers:
                            receive(self, state)
                        sending = False
                    if stepwise:
                        yield row.transition
            except BaseException as raised:
                if row is None and not open_scopes(state.phase):  # nothing has begun
                    raise
                self._closing = closing = Closing(state, self._table, stepwise)
                if sending and row is not None:
                    sending = False
                    closing.resume(row, receivers, receive)
                else:
                    receive = None
                closing.add(raised, raiser(raised, receive, state.phase))
                try:
                    yield from self._close(closing)
                finally:  # also where the host closes the iterator meanwhile
                    self._closing = None
                    leaf = closing.finish()

    def _close(self, closing: Closing) -> Generator[Transition, None, None]:
        """Close scopes until the machine is in a phase from which it goes on, or rests."""
        state = self.state
        while True:
            receive = None
            try:
                for receive in closing.undelivered:
                    receive(self, state)
                receive = None
                told, closing.untold = closing.untold, None
                if told is not None and closing.stepwise:
                    yield told
                row = closing.next_row()
                if row is None:
                    return
                closing.enter(row)
            except BaseException as raised:
                closing.add(raised, raiser(raised, receive, state.phase))

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle or copy a {type(self).__name__}, here in {self.state.phase}: its "
            "machine, its lock and those who hear it belong to this process; make another one "
            "there; state_dict() carries what a Trainer holds"
        )

    def _rewire(self) -> None:
        for leaf in self._table.values():
            leaf.activity = self._registry.of(leaf.phase)

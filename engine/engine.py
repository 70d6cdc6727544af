"""The engine: runs the activity of the live phase, makes the transition, publishes it; repeats."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from ..events import Agreement, Cancel, Publisher, Signal, TrainState, Transition, signal
from .closing.abandoned_runs import closed_at_exit
from .closing.cancel_requests import Requests
from .closing.run_end import HostExit, RunContext, end_run, leave_dead_run
from .loop import chart_activities
from .loop.activity_checks import check_all_used, evaluation_phases
from .loop.activity_registry import Wrapper
from .loop.closures import Closure, closure_wraps, live_batch_closure
from .loop.run_loop import RunLoop
from .ranks.agreeing_loop import AgreedRun, AgreeingLoop, agreed_context
from .statechart.compiled_table import Activity, LeafPhase, Table
from .statechart.composition import name_by_role
from .statechart.machine_on_use import MachineOnUse
from .statechart.phase_paths import Row, open_scopes
from .statechart.topology import Topology, topology_of

if TYPE_CHECKING:
    from .diagram.diagram import Diagram
    from .statechart.transitions_internals import Machine


class BusyError(RuntimeError):
    """The engine is running already: in this thread or another one, or its iterator is open."""


class Engine(Publisher):
    """Runs a chart with activities: a Moore machine that publishes every transition.

    Args:
        chart: the rows, as a `Chart` or as they are (see `chart`).
        activities: by the end of the path of a leaf, the function that does its work: it takes the
            TrainState and returns the next trigger. A run ends in a leaf without one.
        state: shared by the activities and the handlers.
        outermost: wraps outside every other wrap.
        name: modules may subscribe by it (see `Publisher`).
        defaults: more activities, of which some may be used by no leaf.

    Raises:
        ChartError: the chart is unsound, a leaf has no activity, an activity has no leaf.
    """

    def __init__(
        self,
        chart: Sequence[Row],
        activities: Mapping[str, Activity],
        state: TrainState,
        outermost: Sequence[tuple[str, Wrapper]] = (),
        name: str = "",
        *,
        defaults: Mapping[str, Activity] = MappingProxyType({}),
    ) -> None:
        super().__init__(name)
        self.state = state
        self._topology = topology_of(chart)
        state.unit_scope, state.pass_scope, state.round_scope = (
            self._topology.chart.scope(role) for role in ("unit", "pass", "round")
        )
        self._given = dict(activities)
        innermost = closure_wraps(state, self.closure)
        self._registry = chart_activities.build_registry(
            self._topology, defaults, activities, outermost, innermost, self._phases
        )
        self._aliases = chart_activities.trigger_aliases(self._topology.chart)
        self._machine = MachineOnUse(self._topology, state)
        state.phase = self._topology.initial
        self._first_trigger = self._topology.rows[0][0]
        self._table = Table()
        self._runs: dict[str, object] = {}  # at most "live"; setdefault is atomic
        self.requests = Requests(state)
        """Cancels and pauses that were requested from outside the run."""
        self.agreement: Agreement | None = None
        """With whom its runs agree on what is raised; None: it runs alone, without votes."""
        self.begins: Mapping[str, str] = MappingProxyType({})  # see `TrainerProtocol`
        state.reports.notify = self.requests.wake
        self._loop: RunLoop | None = None
        self._agreed: AgreedRun | None = None

    @property
    def topology(self) -> Topology:
        """The phases and rows of the chart."""
        return self._topology

    @property
    def diagram(self) -> Diagram:
        """The picture of the chart, with the present receivers of each signal.

        Where there are several ranks, the phases at which they vote have a mark.
        """
        from .diagram.diagram import Diagram, subscribers_of  # noqa: PLC0415  # drawing is rare
        from .diagram.vote_marks import voting_phases  # noqa: PLC0415

        subscribers = subscribers_of(self, self._topology)
        several = self.agreement is not None or self.state.world_size > 1
        votes = voting_phases(self._topology, subscribers) if several else ()
        return Diagram(self._topology, subscribers, votes)

    def draw(self, path: str | os.PathLike[str], *, narrow: bool = False) -> None:
        """Draw the chart to a file; what is allowed, and what is raised: see `Diagram.save`."""
        self.diagram.save(path, narrow=narrow)

    def _repr_svg_(self) -> str:
        return self.diagram.svg

    def _repr_html_(self) -> str:
        return self.diagram._repr_html_()

    @property
    def is_closing(self) -> bool:
        """Whether a cancel or an error is closing scopes, or will with the next transition."""
        return self._loop is not None and self._loop.unwinding is not None

    @property
    def machine(self) -> Machine:
        """The `transitions` machine: its model has the live phase, its rows are the legal ones.

        States, transitions, conditions and callbacks that a host adds are used from the next run
        on. An attribute that the engine does not know counts as a callback (see
        `statechart.transitions_internals`).
        """
        return self._machine.library

    @property
    def signals(self) -> Mapping[str, Signal]:
        """The signals of the rows of its machine, by name."""
        return {trigger: signal(trigger) for trigger in self._machine.triggers}

    @property
    def roles(self) -> Collection[str]:
        """The roles that the scopes of its chart have."""
        return frozenset(self._topology.chart.roles.values())

    @property
    def is_main(self) -> bool:
        """Whether this is the process that draws, logs and writes for all."""
        return self.state.is_main

    @property
    def activities(self) -> Collection[str]:
        """Names of the activities of a run of its chart, by which they can be wrapped."""
        return self._registry.names_in(self._machine.phases)

    def signal_name(self, name: str) -> str:
        """The name in this chart of a standard signal: that of the scope with the same role."""
        return name if name in self.signals else name_by_role(self._topology.chart, name)

    def wrap(self, name: str, wrapper: Callable[[Any], Any]) -> Callable[[], None]:
        """Replace the activity `name` by `wrapper(activity)`; returns a function that undoes it.

        A context manager that is a decorator works: `wrap("forward", torch.autocast("cpu"))`.
        To replace an activity, ignore the argument: `wrap("loss", lambda _: my_loss)`.

        Raises:
            TypeError: the wrapper is no function.
            ValueError: no activity has this name; the message suggests the nearest one.
        """
        undo = self._registry.wrap(name, wrapper)

        def unwrap() -> None:
            undo()
            self._update_activities()

        try:
            self._update_activities()
        except BaseException:  # of the wrapper, which is called now if there is a run
            unwrap()
            raise
        return unwrap

    def closure(self) -> Closure:
        """A function that evaluates the live batch again, for an activity `step` of your own.

        It clears the gradients, runs the activities forward, loss and backward inside their wraps,
        without signals, and returns the loss: `state.optimizer.step(trainer.closure())`.

        Raises:
            RuntimeError: the live phase is not that of a step.
        """
        return live_batch_closure(self.state, self._table)

    def request(self, cancel: Cancel) -> None:
        """Request a cancel: from another thread, a signal handler, or between two transitions.

        It takes effect before the next activity. Requests merge: the outermost scope wins, the
        others are in its `also`. A cancel closes the scope that is open when it is requested; it
        expires if that scope has closed by then.
        If none is open it waits for the next one while the scope around it is open: `batch`,
        between two batches, closes the next batch of the pass; `validate`, during training,
        closes the validation of this epoch.

        Raises:
            TypeError: it is not a cancel.
            ValueError: the run has no such scope.
            IllegalCancelError: nothing is running.
        """
        self.requests.add_cancel(cancel)

    def steps(self) -> Generator[Transition, None, None]:
        """Make one transition for each `next` of the iterator; closing it cancels the run.

        Raises:
            BusyError: at the first transition, if the engine is running already.
        """
        return closed_at_exit(self._drive(self._machine, self._first_trigger, ExitStack(), True))

    def run(self) -> TrainState:
        """Make all transitions of a run."""
        run = self._drive(self._machine, self._first_trigger, ExitStack(), stepwise=False)
        deque(run, maxlen=0)  # it yields nothing
        return self.state

    def _drive(
        self, machine: MachineOnUse, first_trigger: str, session: RunContext, stepwise: bool
    ) -> Generator[Transition, None, None]:
        """Run: yield each transition if `stepwise`, nothing otherwise.

        It begins with `first_trigger`, unless `session` restores a phase inside a scope.
        """
        run, loop, ended, failure, host = object(), None, None, None, HostExit()
        try:
            if self._runs.setdefault("live", run) is not run:
                raise self._busy(first_trigger)
            phases = machine.phases
            if machine is self._machine:
                check_all_used(self._topology, phases, self._given)
            self.requests.begin_run(phases)
            self.state.reports.take()
            leave_dead_run(machine, self.state, first_trigger)
            chart, state = self._topology.chart, self.state
            # a handler sets the agreement when it enters the session
            with session, agreed_context(self, state, self.agreement, chart) as self._agreed, host:
                self._table = self._compiled(machine)
                start = self._table[self.state.phase]
                if not open_scopes(start.phase):
                    start = LeafPhase(start.phase, lambda _: first_trigger)
                    start.activity_rows = self._table[start.phase].activity_rows
                agreed = self._agreed
                loop_of = RunLoop if agreed is None else partial(AgreeingLoop, agreed)
                self._loop = loop_of(self, self.state, self.requests, self._table, start, stepwise)
                yield from self._loop.run()
        except BaseException as raised:  # no call until `end_run`: an interrupt is raised at a call
            ended = raised
        if "live" in self._runs and self._runs["live"] is run:
            try:
                failure = end_run(session, machine, self.state, self._table, self.requests)
            except BaseException as interrupt:
                ended = interrupt
                failure = end_run(session, machine, self.state, self._table, self.requests)
            finally:
                loop, self._loop, self._table = self._loop, None, Table()
                del self._runs["live"]
            ended = host.escaping(loop.failure if loop is not None else None, ended, failure)
        if ended is not None:
            try:
                raise ended
            finally:
                del loop, ended, failure, host  # their tracebacks hold this frame

    def _compiled(self, machine: MachineOnUse) -> Table:
        return machine.compiled(self, self._registry.activity_of, self._aliases)

    def _busy(self, tried: str) -> BusyError:
        return BusyError(
            f"cannot {tried} while this {type(self).__name__} is in {self.state.phase}: let "
            "the run end, cancel it, or close its iterator; use another trainer beside it"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle or copy a {type(self).__name__}, here in {self.state.phase}: its "
            "machine, its lock and its receivers belong to this process; make another one "
            "there, and load the state_dict() of this one"
        )

    def _phases(self) -> list[str]:
        """The phases whose activities can be wrapped, also those of an evaluation."""
        return [*self._machine.phases, *self._evaluation_phases]

    @cached_property
    def _evaluation_phases(self) -> tuple[str, ...]:
        return evaluation_phases(self._topology)

    def _update_activities(self) -> None:
        agreed = self._agreed
        for leaf in self._table.values():
            activity = self._registry.activity_of(leaf.phase)
            wrapped = activity if agreed is None else agreed.activities.wrapped(leaf, activity)
            leaf.replace_activity(wrapped)

"""The loop of a run: activity, transition, signal; and the unwinding of its open scopes."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ...events import Publisher, TrainState, Transition, reported
from ...events.bus.order import Receiver
from ...events.bus.signal import Route, link
from ..closing.cancel_requests import Requests
from ..closing.raised_exception import Raised
from ..closing.unwinding import Unwinding
from ..statechart.compiled_table import LeafPhase, Table, TableRow

_NOT_REPORTING: tuple[tuple[Receiver, ...], Receiver | None] = ((), None)
"""The receivers of `reported` and the one that runs, while it is not sent."""


class RunLoop:
    """Runs from a leaf phase to the end of a run.

    What is raised, by user code or by an interrupt, leads back into the same `try`, where the
    unwinding closes the scopes. The handlers of exceptions make no call and no jump back, at which
    an interrupt could be raised: they only add to `_raised`, which the unwinding takes.

    Attributes:
        unwinding: the one in progress.
        failure: the error of the run, or a cancel that passes, to be raised when it has ended.
    """

    def __init__(
        self,
        sender: Publisher,
        state: TrainState,
        requests: Requests,
        table: Table,
        leaf: LeafPhase,
        stepwise: bool,
    ) -> None:
        self.sender = sender
        self.state = state
        self.requests = requests
        self.table = table
        self.leaf = leaf
        self.stepwise = stepwise
        self.unwinding: Unwinding | None = None
        self.failure: BaseException | None = None
        self._raised: list[tuple[Any, ...]] = []  # the fields of `Raised`
        self._reporting: tuple[tuple[Receiver, ...], Receiver | None] = _NOT_REPORTING
        self._reported = Route(reported, sender, None)
        self._links = link([self._reported])

    def run(self) -> Generator[Transition, None, None]:
        """Run to the end, also if an interrupt is raised between two tries of `transitions`."""
        while self.failure is None:
            try:
                yield from self.transitions()
                return
            except BaseException as raised:
                self._raised = [*self._raised, (raised, False, None, (), None)]

    def transitions(self) -> Generator[Transition, None, None]:
        """The loop: creates no object, formats no text and reads no clock."""
        sender, state, requests, leaf = self.sender, self.state, self.requests, self.leaf
        stepwise, sending = self.stepwise, False
        receivers: tuple[Receiver, ...] = ()
        receive: Receiver | None = None
        row: TableRow | None = None
        unyielded: Transition | None = None
        while True:
            running = False
            try:
                if self._raised or self.unwinding is not None:
                    if self.failure is None:
                        yield from self._unwind()
                    if self.failure is not None:
                        return
                    leaf = self.leaf
                running = True
                while True:  # CPython 3.11 specialises a loop only if it jumps back unconditionally
                    work = leaf.activity
                    if requests.pending:
                        self._send_reports()
                        self._apply_requests(can_wait=work is not None)
                    if work is None:
                        state.phase = leaf.phase
                        return
                    trigger = work(state)
                    row = (
                        leaf.expected_row
                        if trigger is leaf.expected_trigger
                        else leaf.activity_rows[trigger]
                    )
                    leaf = row.leaf
                    receivers = row.receivers
                    if leaf.onward_row is not None and not (
                        receivers or stepwise or requests.pending
                    ):
                        row = leaf.onward_row  # nobody hears of the leaf, and it does no work
                        leaf = row.leaf
                        receivers = row.receivers
                    state.phase = leaf.phase
                    if receivers:
                        receive = receivers[0]
                        sending = True
                        for receive in receivers:
                            receive(sender, state)
                        sending = False
                    if stepwise:
                        unyielded = row.transition
                        self._send_reports()
                        unyielded = None
                        yield row.transition
            except BaseException as raised:
                sent = (row, receivers, receive) if sending else (None, *self._reporting)
                self._raised = [*self._raised, (raised, row is not None, *sent, unyielded)]
                unyielded = None
                self.leaf = leaf if running else self.leaf
                sending, self._reporting = False, _NOT_REPORTING

    def _apply_requests(self, can_wait: bool) -> None:
        """Raise the cancel that was requested; wait while the run is paused."""
        self.requests.apply(can_wait)

    def _settle(self, sent: Transition | None) -> None:
        """After a signal of an unwinding: hear in `_raised` what else is to be closed."""

    def _send_reports(self) -> None:
        """Send `reported`, if anything was."""
        if not self.state.reports.pending:
            return
        receivers = self._reported.receivers
        self.state.reported = self.state.reports.take()
        for receive in receivers:
            self._reporting = receivers, receive
            receive(self.sender, self.state)
        self._reporting = _NOT_REPORTING

    def _take_raised(self, unwinding: Unwinding) -> None:
        """Let the unwinding close scopes for all that was raised."""
        while self._raised:
            unwinding.take(Raised(*self._raised[0]))
            self._raised = self._raised[1:]

    def _unwind(self) -> Generator[Transition, None, None]:
        """Close scopes until the phase is one in which the run continues or ends."""
        sender, state = self.sender, self.state
        receive: Receiver | None = None
        while True:
            try:
                unwinding = self.unwinding
                if unwinding is None:
                    unwinding = Unwinding(state, self.table, self.leaf, self.stepwise)
                    self.unwinding = unwinding
                self._take_raised(unwinding)
                for receive in unwinding.remaining_receivers:
                    receive(sender, state)
                receive = None
                transition, unwinding.next_to_yield = unwinding.next_to_yield, None
                if transition is not None and unwinding.stepwise:
                    yield transition
                self._settle(transition)
                if self._raised:
                    continue
                row = unwinding.next_row()
                if row is not None:
                    unwinding.enter(row)
                elif not self._raised:
                    unwinding.finish()
                    failure = unwinding.escaping
                    # no call below, so that an interrupt comes before all of it or after it
                    self.leaf, self.failure, self.unwinding = unwinding.leaf, failure, None
                    return
            except BaseException as raised:
                self._raised = [*self._raised, (raised, True, None, (), receive)]
                receive = None

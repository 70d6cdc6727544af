"""Unwinding after a cancel or an error: which scopes close, and by which transitions.

A request to stop never weakens: of two cancels the outer scope wins, an error beats every cancel,
an interrupt beats every other error; of equals the first wins. The other one is kept: a cancel in
`also` of the winning cancel, an error as a note on the one that escapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...events import Cancel, TrainState, Transition
from ...events.bus.order import Receiver, receivers_after
from ...events.utils.exception_text import log_note, traceback_text
from ..statechart.compiled_table import CallbackErrorRow, LeafPhase, TableRow
from ..statechart.phase_paths import closes_scope, open_scopes, scope_name
from .illegal_cancel import illegal_cancel
from .outer_runs import scopes_around
from .raised_exception import (
    ErrorNotes,
    IteratorClosed,
    Raised,
    cancel_text,
    closes_iterator,
    describe_raiser,
    is_cancel,
    outranked,
    position_text,
    read_text,
    sign,
    write,
    wrong_phase_error,
)
from .recoveries import announcing_trigger, as_recovery, goes_on, is_weaker, refusal, scope_to_close
from .uninterrupted import complete

_ATTEMPTS = 100
"""How often a transition that closes a scope is tried before the run is given up."""

_CLEANUP = "zero_grad"
"""The phase that only cleans up after a step: no cancel skips its activity."""


class Unwinding:
    """One unwinding, from the first exception to the phase in which the run continues or ends.

    Every step of it can be interrupted and resumed: an exception raised meanwhile is added, and
    the remaining receivers of the last transition still run. It knows the live phase by itself.

    Attributes:
        leaf: the live phase.
        target: the path of the outermost scope to close.
        passes: whether `cancel` is of the run around this one, and leaves this one at its end.
        announced: whether `after_cancel_<scope>` or `after_error` was sent for the target.
        remaining_receivers: those of the live transition that are still to be called.
        next_to_yield: the live transition, until a stepwise run has yielded it.
    """

    def __init__(
        self, state: TrainState, table: dict[str, LeafPhase], leaf: LeafPhase, stepwise: bool
    ) -> None:
        self.state = state
        self.table = table
        self.leaf = table[leaf.phase]
        self.cancel: Cancel | None = None
        self.passes = self.announced = self._announces = False
        self.target = ""
        self.errors: list[BaseException] = []
        self.stepwise = stepwise
        self.remaining_receivers: Iterator[Receiver] = iter(())
        self.next_to_yield: Transition | None = None
        self._cleanup = self.leaf.activity if scope_name(self.leaf.phase) == _CLEANUP else None
        self._attempts = self._taken = 0  # since the last transition
        self._notes = ErrorNotes()

    @property
    def error(self) -> BaseException | None:
        """The error that will escape, or None."""
        interrupts = (e for e in self.errors if not issubclass(type(e), Exception))
        return next(interrupts, self.errors[0] if self.errors else None)

    @property
    def escaping(self) -> BaseException | None:
        """What leaves the run: the error, or a cancel that passes."""
        return self.cancel if self.passes and not self.errors else self.error

    def take(self, raised: Raised) -> None:
        """Add what was raised in the loop; it may be repeated if it is interrupted."""
        self._taken += 1
        wrong_phase = self._correct_phase()
        if self._taken > _ATTEMPTS:
            self._keep(raised.error)
            return
        if not (raised.begun or closes_iterator(raised.error) or open_scopes(self.leaf.phase)):
            self._keep(raised.error)
            self.announced = True  # nobody was told of a run
            return
        by = describe_raiser(raised.error, raised.receiver, raised.phase or self.leaf.phase)
        if raised.row is not None:
            self.resume_dispatch(raised.row, raised.receivers, raised.receiver)
        elif raised.receivers and raised.receiver is not None:
            self.remaining_receivers = receivers_after(raised.receivers, raised.receiver)
            self.next_to_yield = raised.unyielded
        self.add(raised.error, by)
        if wrong_phase is not None:
            self.add(wrong_phase, by)

    def add(self, raised: BaseException, by: str) -> None:
        """Add an exception that `by` raised in the live phase."""
        if closes_iterator(raised):
            self.stepwise = False
            scopes = open_scopes(self.leaf.phase)
            if scopes:
                cancel = IteratorClosed(scope_name(scopes[-1]))
                self._add_cancel(cancel, scopes[-1], by="the host")
        elif not is_cancel(raised):
            self._add_error(raised, by)
        elif refused := refusal(raised, by, self.state, self.leaf, self.table):
            self._add_error(refused, by)
        elif target := self._legal_target(raised):
            self._add_cancel(raised, target, by)
        else:
            self._add_unknown(raised, by)

    def resume_dispatch(
        self, row: TableRow, receivers: Sequence[Receiver], raising: Receiver | None
    ) -> None:
        """Resume an interrupted dispatch: the remaining receivers of a closing signal still run."""
        self._add_callback_error(row)
        self.next_to_yield = row.transition
        if raising is not None and closes_scope(row.transition):
            self.remaining_receivers = receivers_after(receivers, raising)

    def next_row(self) -> TableRow | None:
        """Select what the scope trains; look up, or fire, the next row; None: the target closed."""
        self._attempts += 1
        self._clean_up()
        if (wrong_phase := self._correct_phase()) is not None:
            self.add(wrong_phase, by=f"a receiver in {self.leaf.phase}")
        trigger = self._next_trigger()
        if trigger is None:
            return None
        if self._attempts > _ATTEMPTS:
            failed = f"gave up closing {self.leaf.phase}: {trigger} always fails"
            self._add_once(RuntimeError(failed), by="the engine")
            return None
        owner = self.leaf.owner
        failure = None if owner is None else complete(lambda: self.state.select(owner))
        if failure is not None:
            self._add_once(failure, by="the engine")
        self._announces = trigger in ("after_error", announcing_trigger(self.cancel, self.target))
        try:
            row = self.leaf.closing_rows[trigger]
        except BaseException as refused:  # a host's condition cannot keep a scope open
            self._add_once(refused, by=f"the machine at {trigger}")
            row = self.leaf.rows[trigger]
        self._add_callback_error(row)
        return row

    def enter(self, row: TableRow) -> None:
        """Make `row` the live transition; its receivers remain to be called."""
        receivers = iter(row.receivers)
        state = self.state
        leaf = self.table[row.leaf.phase]
        state.outcome = "failed" if self.errors else "cancelled"
        state.error = self.error
        state.cancel = None if self.errors else self.cancel
        # no call below, so that an interrupt comes before all of it or after all of it
        self.leaf = leaf
        state.phase = leaf.phase
        self.announced = self.announced or self._announces
        self._announces = False
        self._attempts = self._taken = 0
        self.remaining_receivers = receivers
        self.next_to_yield = row.transition

    def finish(self) -> None:
        """Make the state that of a run which continues, or has ended, in the live phase."""
        state = self.state
        state.error = None
        if self.errors:
            return
        if self.cancel is not None:
            for cancel in (self.cancel, *outranked(self.cancel)):
                # its frames hold the batch and its graph
                BaseException.with_traceback(cancel, None)
            write(self.cancel, "passing", self.passes)
        if self.leaf.activity is not None:
            state.recovery = as_recovery(self.cancel)
            state.outcome, state.cancel = "completed", None

    def _correct_phase(self) -> RuntimeError | None:
        """Write the live phase into the state; the error if something else was there."""
        found = self.state.phase
        if type(found) is str and found == self.leaf.phase:
            return None
        self.state.phase = self.leaf.phase
        return wrong_phase_error(found, self.leaf.phase)

    def _clean_up(self) -> None:
        """Do the work of a phase that only cleans up: gradients are not used twice."""
        if (cleanup := self._cleanup) is not None:
            raised = complete(lambda: cleanup(self.state))
            self._cleanup = None
            if raised is not None:
                self.add(raised, by=f"activity {self.leaf.phase}")

    def _add_callback_error(self, row: TableRow) -> None:
        if isinstance(row, CallbackErrorRow):
            self._add_once(row.error, f"a callback of the machine on {row.transition.trigger}")

    def _add_once(self, raised: BaseException, by: str) -> None:
        """`add` for what each attempt may raise anew; an interrupt does not break it off."""
        interrupt = complete(lambda: self.add(raised, by))
        if interrupt is not None and complete(lambda: self.add(interrupt, by)) is not None:
            log_note(interrupt, f"trackside: raised by {by}, and then again")

    def _next_trigger(self) -> str | None:
        leaf = self.leaf
        scopes = open_scopes(leaf.phase)
        if not scopes:
            fails = self.errors and not self.announced and "after_error" in leaf.rows
            return "after_error" if fails else None
        innermost = scopes[0]
        if innermost == self.target and not self.announced:
            return "after_error" if self.errors else announcing_trigger(self.cancel, innermost)
        if self.announced and not self.errors and goes_on(self.cancel, leaf):
            return None
        if self.target in scopes:
            return f"after_{scope_name(innermost)}"
        return None

    def _legal_target(self, cancel: Cancel) -> str | None:
        """Path of the open scope that `cancel` closes; None if it is not open, or is closing."""
        target = scope_to_close(cancel, self.leaf)
        closing = self.announced and as_recovery(self.cancel) is None
        return None if closing and target == self.target else target

    def _add_cancel(self, cancel: Cancel, target: str, by: str) -> None:
        sign(cancel, by, self.leaf.phase)
        if self.errors or cancel is self.cancel:
            return
        is_open = as_recovery(self.cancel) or self.target in open_scopes(self.leaf.phase)
        pending = self.cancel if is_open else None
        if pending is not None and is_weaker(cancel, target, pending, self.target):
            outranked(pending).append(cancel)
            return
        if pending is not None:
            outranked(cancel).append(pending)
        self.cancel, self.target, self.announced = cancel, target, False

    def _add_unknown(self, cancel: Cancel, by: str) -> None:
        """Add a cancel whose scope is not open here: it is of the run around, or illegal."""
        around, phase = scopes_around(self.state), self.leaf.phase
        name = read_text(cancel, "scope")
        if name in around and not any(open_scopes(known, name) for known in self.table):
            self._let_pass(cancel, by, around)
            return
        announced = self.target if self.announced else ""
        self._add_error(illegal_cancel(cancel, by, phase, announced, around), by)

    def _let_pass(self, cancel: Cancel, by: str, around: Sequence[str]) -> None:
        """Close every scope; the cancel then leaves the run, and closes its scope around it."""
        sign(cancel, by, self.leaf.phase)
        if self.errors or cancel is self.cancel:
            return
        scopes = open_scopes(self.leaf.phase)
        weaker = self.cancel if self.passes or self.target in scopes else None
        if self.passes and weaker is not None:
            ranks = [around.index(read_text(one, "scope")) for one in (cancel, weaker)]
            if ranks[0] <= ranks[1]:
                outranked(weaker).append(cancel)
                return
        if weaker is not None:
            outranked(cancel).append(weaker)
        outermost = "".join(scopes[-1:])
        self.announced = self.announced and self.target == outermost
        self.cancel, self.target, self.passes = cancel, outermost, True

    def _add_error(self, error: BaseException, by: str) -> None:
        if any(error is known for known in self.errors):
            return
        state, closing, before = self.state, self.cancel, self.error
        self._keep(error)
        where = f"{self.leaf.phase}, {position_text(state)}"
        self._notes.add(error, f"trackside: raised by {by} in {where}")
        if before is None and closing is not None and state.cancel is not None:
            self._notes.add(error, f"trackside: raised while {cancel_text(closing)} was closing")
        escaping = self.error
        other = error if escaping is before else before
        if escaping is not None and other is not None:
            text = traceback_text(other)
            self._notes.add(escaping, f"trackside: also raised during the unwinding\n{text}")

    def _keep(self, error: BaseException) -> None:
        """Add an error as it is: every open scope closes."""
        outermost = "".join(open_scopes(self.leaf.phase)[-1:])
        if not self.errors:
            self.target, self.announced, self._announces = outermost, False, False
        self.errors = [*self.errors, error]

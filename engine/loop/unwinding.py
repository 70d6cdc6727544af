"""Unwinding after a cancel or an error: which scopes close, and by which transitions.

A request to stop never weakens: of two cancels the outer scope wins, an error beats every cancel,
an interrupt beats every other error; of equals the first wins. The other one is kept: a cancel in
`also` of the winning cancel, an error as a note on the one that escapes.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from typing import NoReturn

from ...events import Cancel, IllegalCancelError, TrainState, Transition
from ...events.order import Receiver, receiver_name
from ..statechart.compiled_table import CallbackErrorRow, LeafPhase, TableRow
from ..statechart.phase_paths import open_scopes, scope_name


class IteratorClosed(Cancel):
    """Closes the outermost scope after the host has closed the iterator of the run."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__("the iterator of the run was closed")


class Unwinding:
    """One unwinding, from the first exception to the phase in which the run continues or ends.

    Every step of it can be interrupted and resumed: an exception raised meanwhile is added, and
    the remaining receivers of the last transition still run.

    Attributes:
        target: the path of the outermost scope to close.
        announced: whether `after_cancel_<scope>` or `after_error` was sent for the target.
        remaining_receivers: those of the live transition that are still to be called.
        next_to_yield: the live transition, until a stepwise run has yielded it.
    """

    def __init__(self, state: TrainState, table: dict[str, LeafPhase], stepwise: bool) -> None:
        self.state = state
        self.table = table
        self.cancel: Cancel | None = None
        self.target = ""
        self.announced = False
        self.errors: list[BaseException] = []
        self.stepwise = stepwise
        self.remaining_receivers: Iterator[Receiver] = iter(())
        self.next_to_yield: Transition | None = None

    @property
    def error(self) -> BaseException | None:
        """The error that will escape, or None."""
        interrupts = (e for e in self.errors if not isinstance(e, Exception))
        return next(interrupts, self.errors[0] if self.errors else None)

    def add(self, raised: BaseException, by: str) -> None:
        """Add an exception that `by` raised in the live phase."""
        if isinstance(raised, GeneratorExit):
            self.stepwise = False
            scopes = open_scopes(self.state.phase)
            if scopes:
                cancel = IteratorClosed(scope_name(scopes[-1]))
                self._add_cancel(cancel, scopes[-1], by="the host")
        elif not isinstance(raised, Cancel):
            self._add_error(raised, by)
        elif target := self._legal_target(raised):
            self._add_cancel(raised, target, by)
        else:
            self._add_error(self._illegal(raised, by), by)

    def resume_dispatch(
        self, row: TableRow, receivers: Sequence[Receiver], raising: Receiver | None
    ) -> None:
        """Resume an interrupted dispatch: the remaining receivers of a closing signal still run."""
        self._add_callback_error(row)
        self.next_to_yield = row.transition
        if raising is not None and closes_scope(row.transition):
            place = next(n for n, receiver in enumerate(receivers) if receiver is raising)
            self.remaining_receivers = iter(receivers[place + 1 :])

    def next_row(self) -> TableRow | None:
        """Look up, or fire, the row of the next transition; None when the target has closed."""
        leaf = self.table[self.state.phase]
        trigger = self._next_trigger(leaf)
        if trigger is None:
            return None
        if trigger in ("after_error", f"after_cancel_{scope_name(self.target)}"):
            self.announced = True
        try:
            row = leaf.closing_rows[trigger]
        except BaseException as refused:  # a host's condition cannot keep a scope open
            self.add(refused, by=f"the machine at {trigger}")
            row = leaf.rows[trigger]
        self._add_callback_error(row)
        return row

    def enter(self, row: TableRow) -> None:
        """Make `row` the live transition; its receivers remain to be called."""
        receivers = iter(row.receivers)
        state = self.state
        state.outcome = "failed" if self.errors else "cancelled"
        state.error = self.error
        state.cancel = None if self.errors else self.cancel
        # no call below, so that an interrupt comes before all of it or after all of it
        state.phase = row.leaf.phase
        self.remaining_receivers = receivers
        self.next_to_yield = row.transition

    def finish(self) -> LeafPhase:
        """The leaf in which the run continues or ends; raises the error that ended it, if any."""
        state = self.state
        state.error = None
        if self.errors:
            self._raise_error()
        if self.cancel is not None:
            for cancel in (self.cancel, *self.cancel.also):
                cancel.with_traceback(None)  # its frames hold the batch and its graph
        leaf = self.table[state.phase]
        if leaf.activity is not None:
            state.outcome, state.cancel = "completed", None
        return leaf

    def _raise_error(self) -> NoReturn:
        error = self.error
        assert error is not None
        self.errors.clear()
        try:
            raise error
        finally:
            del error  # its traceback holds this frame

    def _add_callback_error(self, row: TableRow) -> None:
        if isinstance(row, CallbackErrorRow):
            self.add(row.error, by=f"a callback of the machine on {row.transition.trigger}")

    def _next_trigger(self, leaf: LeafPhase) -> str | None:
        scopes = open_scopes(leaf.phase)
        if not scopes:
            fails = self.errors and not self.announced and "after_error" in leaf.rows
            return "after_error" if fails else None
        innermost = scopes[0]
        if innermost == self.target and not self.announced:
            return "after_error" if self.errors else f"after_cancel_{scope_name(innermost)}"
        if self.target in scopes:
            return f"after_{scope_name(innermost)}"
        return None

    def _legal_target(self, cancel: Cancel) -> str | None:
        """Path of the open scope that `cancel` closes; None if it is not open, or is closing."""
        named = open_scopes(self.state.phase, cancel.scope)
        if not named or (self.announced and named[0] == self.target):
            return None
        return named[0]

    def _add_cancel(self, cancel: Cancel, target: str, by: str) -> None:
        cancel.raised_by, cancel.raised_in = by, self.state.phase
        if self.errors or cancel is self.cancel:
            return
        pending = self.cancel if self.target in open_scopes(self.state.phase) else None
        if pending is not None and len(target) >= len(self.target):
            pending.also.append(cancel)
            return
        if pending is not None:
            cancel.also.append(pending)
        self.cancel, self.target, self.announced = cancel, target, False

    def _add_error(self, error: BaseException, by: str) -> None:
        if any(error is known for known in self.errors):
            return
        state = self.state
        error.add_note(
            f"trackside: raised by {by} in {state.phase}, epoch {state.epoch}, "
            f"batch {state.batch_index}"
        )
        if not self.errors:
            outermost = open_scopes(state.phase)[-1:]
            self.target, self.announced = "".join(outermost), False
            if self.cancel is not None and state.cancel is not None:
                error.add_note(f"trackside: raised while {_cancel_text(self.cancel)} was closing")
        before = self.error
        self.errors.append(error)
        escaping = self.error
        other = error if escaping is before else before
        if escaping is not None and other is not None:
            text = "".join(traceback.format_exception(other, chain=False)).rstrip()
            escaping.add_note(f"trackside: also raised during the unwinding\n{text}")

    def _illegal(self, cancel: Cancel, by: str) -> IllegalCancelError:
        scopes = [scope_name(path) for path in open_scopes(self.state.phase)]
        closing = bool(open_scopes(self.state.phase, cancel.scope))
        legal = [name for name in scopes if not (self.announced and name == cancel.scope)]
        error = IllegalCancelError(
            f"{type(cancel).__name__}({cancel.reason!r}) raised by {by} in {self.state.phase}: "
            f"{'the' if closing else 'no'} {cancel.scope} is {'closing' if closing else 'open'}"
            f"{' already' if closing else ''}; open here: {', '.join(legal) or 'nothing'}"
        )
        error.__cause__ = cancel
        return error


def _cancel_text(cancel: Cancel) -> str:
    return f"{type(cancel).__name__}({cancel.reason!r})"


def describe_raiser(raised: BaseException, receiver: Receiver | None, phase: str) -> str:
    """Name the thread that requested a cancel, or the receiver or activity that was running."""
    if isinstance(raised, Cancel) and raised.requested_by:
        return f"a request of {raised.requested_by}"
    if receiver is not None:
        return f"handler {receiver_name(receiver)}"
    return f"activity {phase}"


def closes_scope(transition: Transition) -> bool:
    """Whether its signal is an `after_<scope>`, which all its receivers must get."""
    closed = (f"after_{scope_name(path)}" for path in open_scopes(transition.source))
    return transition.trigger in closed

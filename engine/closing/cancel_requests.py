"""Requests from outside a run: cancels, pause and resume; a queue that needs no lock."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal

from ...events import Cancel, IllegalCancelError, TrainState
from ..statechart.phase_paths import enclosing, inside, open_scopes, scope_name
from .raised_exception import outranked, write


@dataclass(slots=True, eq=False)
class CancelRequest:
    """A requested cancel; it expires when the scope at `expires_with` closes; empty: the run."""

    cancel: Cancel
    expires_with: str


class Requests:
    """Receives requests from any thread and from signal handlers; the engine's thread applies them.

    Attributes:
        pending: whether there is a request to apply: all that the engine reads each transition.
        paused: whether the run is waiting for `resume`, or for a cancel.

    Threads share nothing but a queue, whose `put` may be interrupted by another `put`.
    """

    __slots__ = ("_cancels", "_pause", "_queue", "_scopes", "_state", "paused", "pending")

    def __init__(self, state: TrainState) -> None:
        self._state = state
        self._scopes: tuple[str, ...] = ()
        self._queue: SimpleQueue[CancelRequest | Literal["pause", "resume"]] = SimpleQueue()
        self._cancels: list[CancelRequest] = []
        self.paused = False
        self.end_run()

    def begin_run(self, phases: Iterable[str]) -> None:
        """Accept requests for a run that may enter these phases."""
        self.end_run()
        self._scopes = tuple(dict.fromkeys(c for phase in phases for c in enclosing(phase)[::-1]))

    def end_run(self) -> None:
        """Drop all requests, and accept no more cancels."""
        self._scopes = ()
        self._read_queue()
        self._cancels.clear()
        self._pause = self.pending = False

    def add_cancel(self, cancel: Cancel) -> None:
        """Request `cancel`; see `Engine.request`."""
        if not isinstance(cancel, Cancel):
            raise TypeError(
                f"cannot request a {type(cancel).__name__}; allowed: a cancel, such as "
                'CancelFitException("why")'
            )
        phase, scopes = self._state.phase, self._scopes
        if not scopes:
            raise IllegalCancelError(
                f"cannot cancel the {cancel.scope}: nothing is running, the phase is {phase}"
            )
        named = [path for path in scopes if scope_name(path) == cancel.scope]
        if not named:
            known = ", ".join(dict.fromkeys(map(scope_name, scopes)))
            raise ValueError(f"cannot cancel {cancel.scope!r}: the run has only the scopes {known}")
        write(cancel, "requested_by", f"thread {threading.current_thread().name}")
        live = phase if isinstance(phase, str) else ""  # a handler can have written anything
        self._put(CancelRequest(cancel, _expiring_scope(live, named)))

    @property
    def waiting(self) -> bool:
        """Whether there are requests, so that `pending` is not only about reports."""
        return self._pause or bool(self._cancels) or not self._queue.empty()

    def wake(self) -> None:
        """Let the engine look, before the next activity, at what was reported."""
        self.pending = True

    def pause(self) -> None:
        """Request that the run waits before its next activity."""
        self._put("pause")

    def resume(self) -> None:
        """Request that a paused run continues."""
        self._put("resume")

    def apply(self, can_wait: bool) -> None:
        """Apply all requests; while the run is paused, wait for more, except where it ends.

        Raises:
            Cancel: the one that was requested.
        """
        self.pending = False
        self._read_queue()
        while (cancel := self._take_due_cancel()) is None and self._pause and can_wait:
            self.paused = True
            try:
                self._accept(self._queue.get())
            finally:
                self.paused = False
        if self._cancels or self._pause or self._state.reports.pending:
            self.pending = True
        if cancel is not None:
            raise cancel

    def _put(self, request: CancelRequest | Literal["pause", "resume"]) -> None:
        self._queue.put(request)
        self.pending = True  # in this order: the engine first clears it, and then reads the queue

    def _read_queue(self) -> None:
        try:
            while True:
                self._accept(self._queue.get_nowait())
        except Empty:
            return

    def _accept(self, request: CancelRequest | Literal["pause", "resume"]) -> None:
        if isinstance(request, CancelRequest):
            self._cancels.append(request)
        else:
            self._pause = request == "pause"

    def _take_due_cancel(self) -> Cancel | None:
        """The requested cancel of the outermost open scope; those it outranks are in its `also`.

        Without one, requests whose scope has closed are dropped.
        """
        phase = self._state.phase
        due = [request for request in self._cancels if open_scopes(phase, request.cancel.scope)]
        if not due:
            self._cancels = [
                request
                for request in self._cancels
                if not request.expires_with or inside(phase, request.expires_with)
            ]
            return None
        cancel = min(due, key=lambda one: len(open_scopes(phase, one.cancel.scope)[0])).cancel
        closed = open_scopes(phase, cancel.scope)[0]
        met = [one for one in self._cancels if one in due or inside(one.expires_with, closed)]
        self._cancels = [request for request in self._cancels if request not in met]
        outranked(cancel).extend(request.cancel for request in met if request.cancel is not cancel)
        return cancel


def _expiring_scope(phase: str, named: list[str]) -> str:
    """The innermost scope open in `phase` that is one of `named`, or may still open one of them."""
    parents = (path for path in enclosing(phase) if any(inside(scope, path) for scope in named))
    return next(parents, "")

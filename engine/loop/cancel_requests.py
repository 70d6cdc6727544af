"""What is asked of a run from outside it: cancels, and to stand still; a mailbox without locks."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal

from ...events import Cancel, IllegalCancelError, TrainState
from ..statechart.phase_paths import enclosing, inside, open_scopes, scope_name


@dataclass(slots=True, eq=False)
class Wish:
    """A cancel that was asked for, and the open scope with which it lapses; empty: the run."""

    cancel: Cancel
    around: str


class Requests:
    """Takes requests from any thread, and from signal handlers; the engine's thread answers them.

    Attributes:
        pending: whether the engine has something to answer: all that it reads each transition.
        standing: whether the run stands still.

    A queue whose `put` may interrupt itself is the only thing that threads share.
    """

    __slots__ = ("_box", "_held", "_scopes", "_state", "_wishes", "pending", "standing")

    def __init__(self, state: TrainState) -> None:
        self._state = state
        self._scopes: tuple[str, ...] = ()
        self._box: SimpleQueue[Wish | Literal["hold", "release"]] = SimpleQueue()
        self._wishes: list[Wish] = []
        self._held = False
        self.pending = False
        self.standing = False

    def open(self, phases: Iterable[str]) -> None:
        """A run begins, in which these phases may be reached."""
        self.close()
        self._scopes = tuple(dict.fromkeys(c for phase in phases for c in enclosing(phase)[::-1]))

    def close(self) -> None:
        """The run has ended; what is still asked of it lapses."""
        self._scopes = ()
        self._read()
        self._wishes.clear()
        self._held = self.pending = False

    def add(self, cancel: Cancel) -> None:
        """Ask for `cancel`; see `Engine.request`."""
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
            raise ValueError(f"cannot cancel {cancel.scope!r}: there is no such scope in {known}")
        cancel.requested_by = f"thread {threading.current_thread().name}"
        self._put(Wish(cancel, _around(phase, named)))

    def hold(self) -> None:
        """Ask the run to stand still from its next transition on."""
        self._put("hold")

    def release(self) -> None:
        """Ask the run to go on."""
        self._put("release")

    def answer(self) -> None:
        """Do what was asked; return only when the run is not to stand still.

        Raises:
            Cancel: the one that was requested.
        """
        self.pending = False
        self._read()
        while (cancel := self._due()) is None and self._held:
            self.standing = True
            try:
                self._take(self._box.get())
            finally:
                self.standing = False
        if self._wishes or self._held:
            self.pending = True
        if cancel is not None:
            raise cancel

    def _put(self, asked: Wish | Literal["hold", "release"]) -> None:
        self._box.put(asked)
        self.pending = True  # in this order: the engine first unsets it, and then reads

    def _read(self) -> None:
        try:
            while True:
                self._take(self._box.get_nowait())
        except Empty:
            return

    def _take(self, asked: Wish | Literal["hold", "release"]) -> None:
        if isinstance(asked, Wish):
            self._wishes.append(asked)
        else:
            self._held = asked == "hold"

    def _due(self) -> Cancel | None:
        """The cancel of the outermost scope asked for that is open; what it outranks is in it."""
        phase = self._state.phase
        due = [wish for wish in self._wishes if open_scopes(phase, wish.cancel.scope)]
        if not due:
            self._wishes = [w for w in self._wishes if not w.around or inside(phase, w.around)]
            return None
        cancel = min(due, key=lambda wish: len(open_scopes(phase, wish.cancel.scope)[0])).cancel
        closed = open_scopes(phase, cancel.scope)[0]
        met = [wish for wish in self._wishes if wish in due or inside(wish.around, closed)]
        self._wishes = [wish for wish in self._wishes if wish not in met]
        cancel.also.extend(wish.cancel for wish in met if wish.cancel is not cancel)
        return cancel


def _around(phase: str, named: list[str]) -> str:
    """The innermost scope open in `phase` that is one of `named`, or may yet hold one of them."""
    holding = (path for path in enclosing(phase) if any(inside(scope, path) for scope in named))
    return next(holding, "")

"""The error policy of a handler: let its errors end the run, or take it off and go on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .log import log
from .order import Receiver, receiver_name
from .transition import Transition
from .transition_binding import bound

POLICIES = ("raise", "detach")


class Guard:
    """Stands before a receiver of a handler that says `on_error = "detach"`.

    The handler's first error is logged with its name, and the handler is taken off: a logger
    must not end a training. Cancels and interrupts pass.
    """

    def __init__(self, receiver: Receiver, detach: Callable[[], None]) -> None:
        self.__wrapped__ = receiver
        self.closes_scope = getattr(receiver, "closes_scope", False)
        self.opens_scope = getattr(receiver, "opens_scope", False)
        self.detach = detach

    def __call__(self, trainer: Any, state: Any, **extra: Any) -> None:
        try:
            self.__wrapped__(trainer, state=state, **extra)
        except Exception:
            self._take_off(state)

    def for_transition(self, transition: Transition) -> Receiver | None:
        """What stands before the receiver of one transition, where the handler prepares one.

        Nothing stands before a receiver that says `cannot_fail = True`: the guard costs as much
        as a small receiver.
        """
        receiver = bound(self.__wrapped__, transition)
        if receiver is None or getattr(receiver, "cannot_fail", False):
            return receiver

        @functools.wraps(receiver)
        def guarded(trainer: Any, state: Any) -> None:
            try:
                receiver(trainer, state)
            except Exception:
                self._take_off(state)

        return guarded

    def _take_off(self, state: Any) -> None:
        log.exception(
            "%s failed in %s, epoch %s, batch %s; it is detached and the run goes on",
            receiver_name(self.__wrapped__),
            state.phase,
            state.epoch,
            state.batch_index,
        )
        try:
            self.detach()
        except Exception:
            log.exception("%s failed while it was detached", receiver_name(self.__wrapped__))

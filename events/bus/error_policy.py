"""The error policy of a handler: its errors end the run, or only detach the handler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..transition import Transition
from ..utils.log import log_exception
from .order import Receiver, receiver_name
from .receiver_call import own_signature
from .transition_binding import bind_transition, raising

POLICIES = ("raise", "detach")


class DetachOnError:
    """Wraps a receiver of a handler with `on_error = "detach"`.

    The first error of the handler is logged with its name, and the handler is detached: a logger
    must not end a training. Cancels and interrupts are raised.
    """

    def __init__(self, receiver: Receiver, detach: Callable[[], None]) -> None:
        self.__wrapped__ = receiver
        self.closes_scope = getattr(receiver, "closes_scope", False)
        self.opens_scope = getattr(receiver, "opens_scope", False)
        self.detach = detach

    def __call__(self, trainer: Any, state: Any, *extra: Any) -> None:
        try:
            self.__wrapped__(trainer, state, *extra)
        except Exception:
            self._log_and_detach(state)

    __signature__ = own_signature(__call__)

    def for_transition(self, transition: Transition) -> Receiver | None:
        """The receiver that the handler prepares for one transition, wrapped in the same way.

        A receiver with `cannot_fail = True` is not wrapped: the wrapper costs as much as a small
        receiver. An error of the preparation is raised, and logged, when it would be called: while
        routes are updated, nothing can be detached.
        """
        try:
            receiver = bind_transition(self.__wrapped__, transition)
        except Exception as error:
            receiver = raising(error)
        if receiver is None or getattr(receiver, "cannot_fail", False):
            return receiver

        @functools.wraps(receiver)
        def call(trainer: Any, state: Any) -> None:
            try:
                receiver(trainer, state)
            except Exception:
                self._log_and_detach(state)

        return call

    def _log_and_detach(self, state: Any) -> None:
        log_exception(
            "%s failed in %s, epoch %s, batch %s; it is detached and the run continues",
            receiver_name(self.__wrapped__),
            state.phase,
            state.epoch + 1,  # for people, from 1
            state.batch_index + 1,
        )
        try:
            self.detach()
        except Exception:
            log_exception("%s failed while it was detached", receiver_name(self.__wrapped__))

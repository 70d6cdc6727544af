"""A run of several ranks begins on all of them, or on none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from ...events import Agreement, TrainState
from ...events.utils.exact_context import exact_context
from ...events.utils.exception_text import add_note


class Beginner(Protocol):
    """As much of a trainer as is needed."""

    @property
    def state(self) -> TrainState:
        """What its handlers receive."""

    @property
    def agreement(self) -> Agreement | None:
        """With whom its runs agree; None: it runs alone, or has not joined the others yet."""


@exact_context
def refused_by_all(trainer: Beginner, handlers: Iterable[Any]) -> Iterator[None]:
    """A block before a run, of which an error keeps the other ranks from beginning, too.

    Within a run of this trainer it is an error as any other.

    Args:
        handlers: those whose `around_run` was not entered when the block fails: their
            `run_refused(trainer, state, error)` is called, in which one tells the other ranks.
    """
    try:
        yield
    except Exception as error:
        if trainer.agreement is None:
            for handler in handlers:
                if hasattr(handler, "run_refused"):
                    handler.run_refused(trainer, trainer.state, error)
        raise


@exact_context
def entered_by_all(trainer: Beginner, handlers: Iterable[Any]) -> Iterator[None]:
    """The block in which the `around_run` of handlers is entered; see `refused_by_all`."""
    with _telling(trainer), refused_by_all(trainer, handlers):
        yield


@exact_context
def begun_by_all(trainer: Beginner) -> Iterator[None]:
    """A block that sets up a run; it ends when it has succeeded on all ranks.

    Raises:
        PeerError: it has failed on another rank.
    """
    with _telling(trainer):
        yield
    if trainer.agreement is not None:
        trainer.agreement.begin(None)


@exact_context
def _telling(trainer: Beginner) -> Iterator[None]:
    """A block of which the other ranks are told an error; after an interrupt this one leaves."""
    try:
        yield
    except BaseException as raised:
        agreement = trainer.agreement
        if agreement is None:
            raise
        try:
            if issubclass(type(raised), Exception):
                agreement.begin(raised)
            else:
                agreement.leave()
        except Exception as alone:
            add_note(raised, f"trackside: the other ranks were not told of it: {alone}")
        raise

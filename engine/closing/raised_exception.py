"""Read and write an exception that was raised: its own methods and attributes may refuse.

A class of exceptions can be frozen, have properties or methods that raise, or an `__init__` that
does not call that of its base. Nothing of it may keep a scope open. Its class is read by `type`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

from ...events import Cancel, PeerError, TrainState, Transition
from ...events.bus.order import Receiver, receiver_name
from ...events.utils.exception_text import add_note, log_note
from ...events.utils.log import log
from ..statechart.compiled_table import TableRow


class IteratorClosed(Cancel):
    """Closes the outermost scope after the host has closed the iterator of the run."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__("the iterator of the run was closed")


class Raised(NamedTuple):
    """An exception that left the loop, and what the loop was doing."""

    error: BaseException
    begun: bool
    """Whether a transition had been made."""
    row: TableRow | None
    """The transition whose signal was being sent; None if it was `reported`, or no signal."""
    receivers: Sequence[Receiver]
    """The receivers of the signal."""
    receiver: Receiver | None
    """The receiver that was running."""
    unyielded: Transition | None = None
    """The transition that a stepwise run was about to yield when it sent `reported`."""
    phase: str = ""
    """The phase in which it was raised, if the run has gone on since."""


def is_cancel(raised: BaseException) -> TypeGuard[Cancel]:
    """Whether it is a cancel; `isinstance` would ask a `__class__` of its own."""
    return issubclass(type(raised), Cancel)


def closes_iterator(raised: BaseException) -> bool:
    """Whether the host closes the iterator of the run, so that Python raises this at a `yield`.

    A `GeneratorExit` of user code has passed through its frames: that is an error.
    """
    if type(raised) is not GeneratorExit:
        return False
    frames = raised.__traceback__
    return frames is None or frames.tb_next is None


def read_text(raised: BaseException, name: str) -> str:
    """An attribute that should be a str; empty if it is another value, or cannot be read."""
    try:
        value = getattr(raised, name)
    except Exception:
        return ""
    return value if type(value) is str else ""


def is_passing(cancel: Cancel) -> bool:
    """Whether an inner run has let it pass; False if that cannot be read."""
    try:
        return cancel.passing is True
    except Exception:
        return False


def write(raised: BaseException, name: str, value: Any) -> None:
    """Set an attribute, also of a frozen dataclass; does nothing where a property refuses it."""
    try:
        BaseException.__setattr__(raised, name, value)
    except Exception:
        log.debug("%s refuses to have its %s set", type(raised).__name__, name)


def sign(cancel: Cancel, by: str, phase: str) -> None:
    """Write who raised it, where; not again where it has only passed through an inner run."""
    if not is_passing(cancel):
        write(cancel, "raised_by", by)
        write(cancel, "raised_in", phase)
    write(cancel, "passing", False)


def outranked(cancel: Cancel) -> list[Cancel]:
    """The cancels in its `also`; an empty list in that place if it has none."""
    try:
        also = cancel.also
    except Exception:
        also = None
    if type(also) is not list:
        also = []
        write(cancel, "also", also)
    return also


def position_text(state: TrainState) -> str:
    """The position of `state`, counted from 1; empty if a handler has made them unreadable."""
    try:
        return f"epoch {state.epoch + 1}, batch {state.batch_index + 1}"
    except Exception:
        return ""


def cancel_text(cancel: BaseException) -> str:
    """The cancel as it was raised: `CancelEpochException('enough')`."""
    return f"{type(cancel).__name__}({read_text(cancel, 'reason')!r})"


def describe_raiser(raised: BaseException, receiver: Receiver | None, phase: str) -> str:
    """Name the thread that requested a cancel, or the receiver or activity that was running.

    For what another rank has raised these are there.
    """
    if type(raised) is PeerError and raised.raised_by:
        return f"rank {raised.rank}: {raised.raised_by}"
    if is_cancel(raised) and (thread := read_text(raised, "requested_by")):
        return f"a request of {thread}"
    if receiver is None:
        return f"activity {phase}"
    try:
        return f"handler {receiver_name(receiver)}"
    except Exception:
        return f"a handler, {type(receiver).__name__}"


def wrong_phase_error(found: object, phase: str) -> RuntimeError:
    """The error for `found` in `state.phase`, where only the engine writes: it wrote `phase`."""
    text = repr(found) if type(found) is str else f"a {type(found).__name__}"
    return RuntimeError(
        f"state.phase was {text} in {phase}: only the engine writes it; the scopes are closed from "
        f"{phase}"
    )


class ErrorNotes:
    """Adds notes to errors; where an interrupt broke one off, the same is logged.

    It might be raised for ever.
    """

    def __init__(self) -> None:
        self._noting: BaseException | None = None

    def add(self, error: BaseException, text: str) -> None:
        """Add a note to an error."""
        if error is self._noting:
            log_note(error, text)
            return
        self._noting = error
        add_note(error, text)
        self._noting = None

"""What was raised on a rank, as text that the other ranks can read, and what they raise for it."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Mapping, Sequence

from ...events import (
    Cancel,
    IllegalCancelError,
    PeerError,
    Recovery,
    RollbackException,
    TrainState,
    cancel_for,
)
from ...events.bus.order import Receiver, owner_of, receiver_name
from ...events.utils.exception_text import add_note, first_line, traceback_text
from ..closing.raised_exception import (
    Raised,
    cancel_text,
    describe_raiser,
    is_cancel,
    read_text,
    sign,
    write,
)
from .wished_votes import declares_no_cancel

Record = Mapping[str, str]


def recorded(
    error: BaseException, receiver: Receiver | None, state: TrainState, rank: int
) -> Raised:
    """What was raised on this rank; a cancel says the rank in `raised_by`."""
    phase = state.phase
    if receiver is not None and is_cancel(error) and declares_no_cancel(receiver):
        error = _undeclared(error, receiver)
    if issubclass(type(error), RollbackException):
        write(error, "at", (state.epoch, state.batch_index))
    if is_cancel(error):
        _sign(error, f"rank {rank}: {describe_raiser(error, receiver, phase)}", phase)
    return Raised(error, True, None, (), receiver, phase=phase)


def as_record(raised: Raised) -> Record:
    """`raised` as text."""
    error, phase = raised.error, raised.phase
    return {
        "scope": read_text(error, "scope") if is_cancel(error) else "",
        "kind": type(error).__qualname__,
        "reason": read_text(error, "reason"),
        "carried": json.dumps(error.carried()) if isinstance(error, Recovery) else "{}",
        "by": read_text(error, "raised_by") or describe_raiser(error, raised.receiver, phase),
        "in": read_text(error, "raised_in") or phase,
        "follows": "yes" if isinstance(error, PeerError) else "",
        "error": "" if is_cancel(error) else first_line(error),
        "traceback": "" if is_cancel(error) else traceback_text(error),
    }


def too_late(cancel: Cancel, phase: str) -> IllegalCancelError:
    """The error in place of a cancel that was raised inside a collective activity."""
    error = IllegalCancelError(
        f"{cancel_text(cancel)} raised inside the activity of {phase}: the other ranks wait for "
        "this one there, or do without it what cannot be undone; raise it in a receiver of a "
        "signal before"
    )
    error.__cause__ = cancel
    return error


def _undeclared(cancel: Cancel, receiver: Receiver) -> IllegalCancelError:
    """The error in place of a cancel of a handler that has declared that it raises none."""
    owner = type(owner_of(receiver)).__name__
    error = IllegalCancelError(
        f"{cancel_text(cancel)} raised by {receiver_name(receiver)}, and {owner} declares "
        "never_cancels = True: the ranks have not voted on it; allowed: errors, or a class "
        "without never_cancels"
    )
    error.__cause__ = cancel
    return error


def of_peer(record: Record, rank: int) -> Raised:
    """What this rank raises for what another one has raised: an equal cancel, or a PeerError."""
    raised = _cancel(record) if record["scope"] else _peer_error(record, rank)
    return Raised(raised, True, None, (), None)


def merged(
    own: Sequence[Raised], records: Sequence[Sequence[Record]], rank: int, followed: Sequence[str]
) -> list[Raised]:
    """What all ranks have raised, in the order of the ranks, so that all ranks act alike.

    What says that another rank has failed comes after that failure itself.

    Args:
        followed: tracebacks of errors of this rank that followed from those of another one.
    """
    told = sorted(_in_order(own, records, rank), key=operator.itemgetter(0))
    raised = [one for _, one in told]
    errors = [one.error for one in raised if isinstance(one.error, PeerError)]
    if errors:
        add_followed(errors[0], followed)
    return raised


def add_followed(cause: BaseException, tracebacks: Sequence[str]) -> None:
    """Note in an error what has failed on this rank as a result."""
    for text in tracebacks:
        add_note(cause, f"trackside: this rank failed as a result\n{text}")


def _in_order(
    own: Sequence[Raised], records: Sequence[Sequence[Record]], rank: int
) -> Iterator[tuple[bool, Raised]]:
    """What each rank has raised, and whether it follows from a failure of another one."""
    for other, told in enumerate(records):
        if other == rank:
            yield from ((isinstance(one.error, PeerError), one) for one in own)
        else:
            yield from ((bool(record["follows"]), of_peer(record, other)) for record in told)


def _sign(cancel: Cancel, by: str, phase: str) -> None:
    sign(cancel, by, phase)
    write(cancel, "passing", True)  # it keeps this signature when it is raised again


def _cancel(record: Record) -> Cancel:
    kind = _class_named(record["kind"], record["scope"])
    cancel = kind.__new__(kind, record["reason"])  # its `__init__` may ask for more
    for name, value in json.loads(record["carried"]).items():
        write(cancel, name, value)
    _sign(cancel, record["by"], record["in"])
    return cancel


def _class_named(name: str, scope: str) -> type[Cancel]:
    """The class of a cancel of this name, if this process has it; else that of its scope."""
    to_visit: list[type[Cancel]] = [Cancel]
    while to_visit:
        kind = to_visit.pop()
        if kind.scope == scope and kind.__qualname__ == name:
            return kind
        to_visit += kind.__subclasses__()
    return cancel_for(scope)


def _peer_error(record: Record, rank: int) -> PeerError:
    by, where, text = record["by"], record["in"], record["traceback"]
    message = f"rank {rank}: {record['error']}, raised by {by} in {where}; its traceback:\n{text}"
    return PeerError(message, rank, by, where, text)

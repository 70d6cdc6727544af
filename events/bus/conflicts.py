"""Two handlers that write the same part of the state at the same signal, in no declared order.

A handler class may have `writes`, a mapping of signals to names of parts of the state (see
`events.state_parts`): `writes = {"after_loss": ("loss",), "begin_fit": ("optimizer.lr",)}`; and
`reads`, a tuple of such names. What is written in a wrap of an activity is not declared: wraps
have no order but that of attachment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ..signals import STANDARD_SIGNALS
from ..state_parts import check_part
from ..utils.similar_names import did_you_mean
from .handler_discovery import AttachError, SentSignals
from .order import OrderedReceiver, Receiver, owner_of, predecessors

_OTHER_NAME = (
    "`reads` and `writes` declare which parts of the state a handler uses: an attribute for "
    "anything else needs another name"
)


class Conflict(NamedTuple):
    """Which of two handlers runs first decides on a part of the state, and nobody has said which.

    Handlers of one class, which can only be ordered by attaching them, are never in conflict, nor
    those that act on different optimizers (`of`).
    """

    first: str
    second: str
    part: str
    signal: str
    readers: tuple[str, ...]

    def __str__(self) -> str:
        verb = "reads" if len(self.readers) == 1 else "read"
        read = f"; {', '.join(self.readers)} {verb} it" if self.readers else ""
        return (
            f"{self.first} and {self.second} both write {self.part} at {self.signal}{read}. No "
            f"order of the two is declared, so {self.first} runs first, as it was attached first; "
            "give one of the classes runs_after or runs_before"
        )


def check_declared(handler: Any, state: Any, sent: SentSignals) -> None:
    """Refuse a handler that declares a signal or a field which does not exist.

    Raises:
        TypeError: `reads` is not a tuple of str, or `writes` not a mapping of signals to them.
        ValueError: there is no such field; the message suggests the most similar one.
        AttachError: there is no such signal.
    """
    owner = type(handler).__name__
    writes = getattr(handler, "writes", {})
    if not isinstance(writes, Mapping):
        raise TypeError(
            f"{owner}.writes is a {type(writes).__name__}; allowed: a mapping of signals to names, "
            '{"after_loss": ("loss",)}'
            f"; {_OTHER_NAME}"
        )
    for signal in writes:
        if sent.get(signal) is None and signal not in STANDARD_SIGNALS:
            known = {*sent.by_name, *STANDARD_SIGNALS}
            raise AttachError(
                f"{owner}.writes: there is no signal {signal!r}{did_you_mean(signal, known)}"
            )
    declared = {f"writes[{signal!r}]": parts for signal, parts in writes.items()}
    for place, names in {"reads": getattr(handler, "reads", ()), **declared}.items():
        if not isinstance(names, tuple):
            raise TypeError(
                f"{owner}.{place} is a {type(names).__name__}; allowed: a tuple of names; "
                f"{_OTHER_NAME}"
            )
        for name in names if state is not None else ():
            check_part(name, state, f"{owner}.{place}")


def conflicts_of(sender: Any, sent: SentSignals) -> list[Conflict]:
    """The conflicts among the handlers of a sender, each pair and part once."""
    found: dict[tuple[str, ...], Conflict] = {}
    for name in _written_by_several(sender.handlers, sent):
        ordered = list(sent.by_name[name].arranged(sender))
        for conflict in conflicts_at(name, ordered, sender.handlers, sent):
            found.setdefault(conflict[:3], conflict)
    return list(found.values())


def conflicts_at(
    signal: str, arranged: Sequence[OrderedReceiver], handlers: Iterable[Any], sent: SentSignals
) -> Iterator[Conflict]:
    """The conflicts among the receivers of one signal, which are in the order in which they run."""
    ordered = [receiver for receiver, _ in arranged]
    written = [_written(owner_of(receiver), signal, sent) for receiver in ordered]
    writers = [number for number, parts in enumerate(written) if parts]
    if len(writers) < 2:
        return
    before = predecessors(ordered)
    for one, other in combinations(writers, 2):
        part = _shared(written[one], written[other])
        if not part or _are_apart(ordered[one], ordered[other]):
            continue
        if one in _all_before(other, before) or other in _all_before(one, before):
            continue
        names = [type(owner_of(ordered[number])).__name__ for number in (one, other)]
        yield Conflict(names[0], names[1], part, signal, _readers(part, handlers, names))


def _written_by_several(handlers: Sequence[Any], sent: SentSignals) -> list[str]:
    """The signals at which several handlers write."""
    found: dict[str, int] = {}
    for handler in handlers:
        for name in getattr(handler, "writes", ()):
            if (signal := sent.get(name)) is not None:
                found[signal.name] = found.get(signal.name, 0) + 1
    return [name for name, count in found.items() if count > 1]


def _written(handler: Any, signal: str, sent: SentSignals) -> tuple[str, ...]:
    """What a handler writes at a signal, which it may know by its standard name."""
    writes = getattr(handler, "writes", None)
    if not isinstance(writes, Mapping):
        return ()
    own = ((sent.get(name), parts) for name, parts in writes.items())
    return tuple(p for found, parts in own if found and found.name == signal for p in parts)


def _are_apart(one: Receiver, other: Receiver) -> bool:
    """Whether the order of two receivers needs no declaration, or does not matter."""
    handlers = owner_of(one), owner_of(other)
    if type(handlers[0]) is type(handlers[1]):
        return True
    of = [getattr(handler, "of", None) for handler in handlers]
    closes = [getattr(receiver, "closes_scope", False) for receiver in (one, other)]
    return (None not in of and of[0] != of[1]) or closes[0] != closes[1]


def _shared(one: Sequence[str], other: Sequence[str]) -> str:
    """The part that both write: `optimizer` and `optimizer.lr` overlap in the latter."""
    for a in one:
        for b in other:
            if _overlap(a, b):
                return max(a, b, key=len)
    return ""


def _overlap(a: str, b: str) -> bool:
    return a == b or a.startswith(f"{b}.") or b.startswith(f"{a}.")


def _readers(part: str, handlers: Iterable[Any], writers: Sequence[str]) -> tuple[str, ...]:
    """The other handlers that declare to read the part."""
    reading = (h for h in handlers if any(_overlap(part, name) for name in _reads(h)))
    names = dict.fromkeys(type(handler).__name__ for handler in reading)
    return tuple(name for name in names if name not in writers)


def _reads(handler: Any) -> tuple[str, ...]:
    names = getattr(handler, "reads", ())
    return names if isinstance(names, tuple) else ()


def _all_before(number: int, before: Sequence[Mapping[int, str]]) -> set[int]:
    """The receivers that run before one by declared order, directly or through others."""
    found: set[int] = set()
    todo = [number]
    while todo:
        new = set(before[todo.pop()]) - found
        found |= new
        todo += new
    return found

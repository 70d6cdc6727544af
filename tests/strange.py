"""Exceptions of every odd kind: they refuse notes, comparison, text, or their own class."""

import asyncio
import dataclasses

from trackside.events import (
    CANCELS,
    Cancel,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelTrainException,
)


class Noted(Exception):
    """Its notes are no list."""

    def __init__(self, reason):
        super().__init__(reason)
        self.__notes__ = 5


class Refusing(Exception):
    def add_note(self, note):
        raise TypeError("no notes")


class Escalating(Exception):
    def add_note(self, note):
        raise KeyboardInterrupt("no notes")


class Interrupting(KeyboardInterrupt):
    def add_note(self, note):
        raise KeyboardInterrupt("no notes")


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


class Incomparable(Exception):
    def __eq__(self, other):
        raise ValueError("not comparable")

    def __hash__(self):
        raise ValueError("not hashable")

    def __bool__(self):
        raise ValueError("neither true nor false")


class Disguised(Exception):
    @property
    def __class__(self):
        raise ValueError("no class")


class Sealed(Exception):
    def __getattribute__(self, name):
        raise ValueError(f"no {name}")

    def __setattr__(self, name, value):
        raise ValueError(f"no {name}")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    reason: str


REFUSING = (
    *(Noted, Refusing, Escalating, Interrupting, Unprintable, Incomparable, Disguised, Sealed),
    Frozen,
)


class Bare(CancelBatchException):
    """Its `__init__` does not call that of its base."""

    def __init__(self, reason):
        pass


@dataclasses.dataclass(frozen=True)
class FrozenCancel(CancelTrainException):
    why: str


class Closed(CancelEpochException):
    """It has properties in place of the attributes that the engine writes, and they raise."""

    @property
    def also(self):
        raise ValueError("no also")

    raised_by = requested_by = reason = also

    def __init__(self, reason):
        pass


class Slotted(CancelFitException):
    __slots__ = ("also",)

    def __init__(self, reason):
        del self.also


INCOMPLETE = (Bare, FrozenCancel, Closed, Slotted)


class Foreign(Cancel):
    """Of a scope that no chart has."""

    scope = "nowhere"


class Unscoped(Cancel):
    """Its scope is no str."""

    scope = ["batch"]  # type: ignore[assignment]  # noqa: RUF012


class Hidden(Cancel):
    """Its scope cannot be read; it has to be true when the cancel is made."""

    def __init__(self, reason):
        pass

    @property
    def scope(self):
        raise ValueError("no scope")


def grouped(message):
    """A group whose text cannot be made."""
    return ExceptionGroup(message, [Unprintable("inner"), ValueError("inner")])


def grouped_interrupt(message):
    """A group that is no Exception."""
    return BaseExceptionGroup(message, [KeyboardInterrupt("inner"), Sealed("inner")])


class Falsy(Exception):
    """False, as an empty collection of errors is."""

    def __len__(self):
        return 0


class Chained(Exception):
    """Its cause and its context are itself."""

    def __init__(self, reason):
        super().__init__(reason)
        self.__cause__ = self.__context__ = self


def caused(message):
    """An error whose cause cannot be formatted."""
    error = RuntimeError(message)
    error.__cause__ = Sealed("cause")
    return error


ILLEGAL = (Foreign, Unscoped, Hidden)
"""Cancels of no scope: an IllegalCancelError escapes in their place."""
CANCEL_KINDS = (*CANCELS.values(), *INCOMPLETE)
PLAIN = (
    *(ValueError, OSError, MemoryError, RecursionError, AssertionError, IndexError, UserWarning),
    *(StopIteration, StopAsyncIteration, BlockingIOError),
)
INTERRUPTS = (KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit, BaseException)
ERROR_KINDS = (*REFUSING, *PLAIN, *INTERRUPTS, Chained, Falsy, grouped, grouped_interrupt, caused)

"""Exceptions that a handler or an activity raises to close a scope early.

    BaseException
    └── Cancel                       abstract: one scope, one reason
        ├── CancelFitException       fit
        ├── CancelEpochException     fit ⊃ epoch
        ├── CancelTrainException     epoch ⊃ train
        ├── CancelValidException     epoch ⊃ validate
        ├── CancelBatchException     train | validate ⊃ batch
        ├── CancelBackwardException  batch ⊃ backward
        └── CancelStepException      batch ⊃ step

A cancel is control flow, not an error, so it derives from BaseException: ``except Exception`` in
a handler does not catch it.

A run inside a run (an activity that calls `fit` of another trainer) closes its own scopes on a
cancel that its chart does not have, and lets it pass to the run around it, which closes the scope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Self

from .bus.lock import locked


class Cancel(BaseException):
    """Closes one scope; for a scope of your own chart, derive a class and set `scope`.

    Attributes:
        scope: the last part of the path of the scope that it closes, `"batch"`.
        reason: the text that it was raised with; may be empty.
        raised_by: the handler or activity that raised it; the engine writes it.
        raised_in: the phase in which it was raised; the engine writes it.
        requested_by: the thread that called `request`, for a cancel that was requested; the
            engine writes it.
        passing: whether an inner run has let it pass to the run around it; the engine writes it.
        also: cancels raised or requested while this one was pending, which it outranks.

    Raises:
        TypeError: the class has no scope.
    """

    scope: str = ""
    reason: str
    raised_by: str
    raised_in: str
    requested_by: str
    passing: bool
    also: list[Cancel]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Set the attributes: the `__init__` of a subclass may not call this one's."""
        cancel = super().__new__(cls, *args)
        reason = args[0] if args and isinstance(args[0], str) else ""
        for name, value in (
            ("reason", reason),
            *dict.fromkeys(("raised_by", "raised_in", "requested_by"), "").items(),
            ("passing", False),
            ("also", []),
        ):
            with suppress(AttributeError):  # a property of the subclass
                BaseException.__setattr__(cancel, name, value)
        return cancel

    def __init__(self, reason: str = "") -> None:
        if not self.scope:
            raise TypeError(
                f"{type(self).__name__} has no scope; raise one of its subclasses, "
                "or set the class attribute `scope`"
            )
        super().__init__(reason)
        self.reason = reason


class CancelFitException(Cancel):
    """Closes the fit; the trainer can fit again."""

    scope = "fit"


class CancelEpochException(Cancel):
    """Closes the epoch, including its validation; the next epoch follows."""

    scope = "epoch"


class CancelTrainException(Cancel):
    """Closes the training part of the epoch; its validation follows."""

    scope = "train"


class CancelValidException(Cancel):
    """Closes the validation; the next epoch follows."""

    scope = "validate"


class CancelBatchException(Cancel):
    """Closes the batch; the next one follows. Gradients computed so far are kept."""

    scope = "batch"


class CancelBackwardException(Cancel):
    """Closes the backward pass; the optimizer step follows."""

    scope = "backward"


class CancelStepException(Cancel):
    """Closes the optimizer step and keeps the gradients: this is gradient accumulation."""

    scope = "step"


CANCELS: Mapping[str, type[Cancel]] = MappingProxyType(
    {
        cancel.scope: cancel
        for cancel in (
            CancelFitException,
            CancelEpochException,
            CancelTrainException,
            CancelValidException,
            CancelBatchException,
            CancelBackwardException,
            CancelStepException,
        )
    }
)
"""The cancel of each scope of a fit, outermost first."""


_GENERATED: dict[str, type[Cancel]] = {}


@locked
def cancel_for(scope: str) -> type[Cancel]:
    """Return the cancel of a scope: of a fit, else the newest class for it, else a new class.

    `cancel_for("fold")` is `CancelFoldException`, the same class at every call; a subclass of
    Cancel with `scope = "fold"` takes its place.

    Raises:
        TypeError: the name is not a str.
        ValueError: it is not the last part of the path of a scope.
    """
    if not isinstance(scope, str):
        raise TypeError(
            f"cancel_for({scope!r}): found a {type(scope).__name__}; allowed: the name of a scope"
        )
    if not scope or "." in scope:
        raise ValueError(
            f"cancel_for({scope!r}): allowed: the name of a scope, the last part of its path"
        )
    own = (kind for kind in _subclasses(Cancel) if kind.scope == scope)
    return CANCELS.get(scope) or next(own, None) or _generate(scope)


def _subclasses(kind: type[Cancel]) -> Iterator[type[Cancel]]:
    """The subclasses, also the indirect ones, newest first."""
    for subclass in reversed(kind.__subclasses__()):
        yield from _subclasses(subclass)
        yield subclass


def _generate(scope: str) -> type[Cancel]:
    name = f"Cancel{scope.title().replace('_', '')}Exception"
    members = {"scope": scope, "__doc__": f"Closes the {scope}.", "__module__": __name__}
    _GENERATED[scope] = type(name, (Cancel,), members)  # a class refers weakly to its subclasses
    return _GENERATED[scope]


class IllegalCancelError(RuntimeError):
    """A cancel was raised for a scope that is open in no run around, or that is already closing."""

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
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class Cancel(BaseException):
    """Closes one scope; for a scope of your own chart, derive a class and set `scope`.

    Attributes:
        scope: the last part of the path of the scope that it closes, `"batch"`.
        reason: the text that it was raised with; may be empty.
        raised_by: the handler or activity that raised it; the engine writes it.
        raised_in: the phase in which it was raised; the engine writes it.
        requested_by: the thread that called `request`, for a cancel that was requested; the
            engine writes it.
        also: cancels raised or requested while this one was pending, which it outranks.

    Raises:
        TypeError: the class has no scope.
    """

    scope: str = ""

    def __init__(self, reason: str = "") -> None:
        if not self.scope:
            raise TypeError(
                f"{type(self).__name__} has no scope; raise one of its subclasses, "
                "or set the class attribute `scope`"
            )
        super().__init__(reason)
        self.reason = reason
        self.raised_by = ""
        self.raised_in = ""
        self.requested_by = ""
        self.also: list[Cancel] = []


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


class IllegalCancelError(RuntimeError):
    """A cancel was raised for a scope that is not open, or that is already closing."""

"""The names of the standard signals and scopes, for type checkers and editors."""

from __future__ import annotations

from typing import Literal, NewType, TypeAlias

OwnName = NewType("OwnName", str)
"""A name of a chart of your own, which type checkers do not know: `OwnName("begin_generator")`.

At run time it is that str; the trainer checks it against its chart, as it checks every name.
"""

PayloadName: TypeAlias = Literal[
    "begin_fit",
    "begin_epoch",
    "begin_train",
    "begin_validate",
    "begin_batch",
    "after_pred",
    "after_loss",
    "begin_retry",
    "begin_backward",
    "after_cancel_backward",
    "after_backward",
    "begin_step",
    "after_cancel_step",
    "after_step",
    "after_cancel_batch",
    "after_batch",
    "begin_rollback",
    "after_rollback",
    "after_cancel_train",
    "after_train",
    "after_cancel_validate",
    "after_validate",
    "after_cancel_epoch",
    "after_epoch",
    "after_cancel_fit",
    "after_error",
    "after_fit",
    "resumed",
    "reported",
]
"""The signals whose receivers are `def f(trainer, state)`."""

SignalName: TypeAlias = PayloadName | Literal["any_transition"]
"""The signals of a standard fit."""

ScopeName: TypeAlias = Literal[
    "fit",
    "epoch",
    "train",
    "validate",
    "batch",
    "backward",
    "step",
]
"""The scopes of a standard fit."""

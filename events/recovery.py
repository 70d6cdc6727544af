"""Exceptions that a handler or an activity raises to go back: to run a batch or a stretch again.

    Cancel
    └── Recovery                     abstract: goes back, and goes on from there
        ├── RetryBatchException      to the forward pass of the live batch
        └── RollbackException        to a snapshot of the training pass

Each is a row of the chart, `begin_retry` or `begin_rollback`, and legal where the chart has that
row. Inner scopes close first, like on a cancel. Each has a budget: what is raised once more than
that becomes a RecoveryError, which ends the fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from .cancel import Cancel
from .utils.argument_checks import check_whole_number

BEGIN_RETRY, BEGIN_ROLLBACK = "begin_retry", "begin_rollback"
RECOVERIES = (BEGIN_RETRY, BEGIN_ROLLBACK)
"""The triggers of the rows that a Recovery takes; no activity may return one."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A copy of the training state between two batches, to which a fit can be rolled back.

    Attributes:
        step: number of optimizer updates made before it.
        epoch, batch_index: of the last batch before it; -1 before the first of a pass.
        saved: what `Trainer.state_dict` has returned, copied.
    """

    step: int
    epoch: int
    batch_index: int
    saved: Mapping[str, Any] = field(repr=False)


class Rollback(NamedTuple):
    """A rollback that was made; batches are named by `(epoch, batch_index)`, both from 0."""

    reason: str
    step: int
    """Number of optimizer updates when it was raised."""
    to_step: int
    """That of the snapshot."""
    first: tuple[int, int]
    """The first batch that is left out from then on."""
    last: tuple[int, int]
    """The last one; before `first` if none is left out."""

    def leaves_out(self, epoch: int, batch_index: int) -> bool:
        """Whether a batch is one of those that are left out."""
        return self.first <= (epoch, batch_index) <= self.last


class RecoveryError(RuntimeError):
    """A retry or a rollback that cannot be made; its `__cause__` is what was raised."""


class Recovery(Cancel):
    """Goes back to an earlier phase; abstract.

    Attributes:
        trigger: of its row in the chart.
        budget: how often it may be made, from 0.
    """

    trigger: ClassVar[str] = ""
    budget: int = 10

    def carried(self) -> dict[str, Any]:
        """What another rank needs, beside the class and the reason, to raise an equal one."""
        return {"budget": self.budget}


class RetryBatchException(Recovery):
    """Runs the forward pass of the live batch again, in parts if `split` says so.

    Legal from the forward pass until gradients are computed: up to `begin_backward`, and in the
    activity `backward` for a wrap that drops the gradients that it has added. The batch stays open,
    its counters and inputs stay, `pred` and `loss` are computed again. Where a batch makes several
    updates, that of the open one is run again. In a validation and a prediction, too.

    Args:
        reason: why.
        split: into how many times as many parts the batch is split, from 1. The model gets one
            part at a time, and keeps the activations of one; `pred` and `loss` are of the whole
            batch.
        budget: how often one batch may be run again.

    Raises:
        TypeError, ValueError: a number is no int, or out of range.
    """

    scope = "batch"
    trigger = BEGIN_RETRY
    split: int = 1

    def __init__(self, reason: str = "", *, split: int = 1, budget: int = 10) -> None:
        check_whole_number(f"RetryBatchException(split={split!r})", split, least=1)
        check_whole_number(f"RetryBatchException(budget={budget!r})", budget, least=0)
        super().__init__(reason)
        self.split, self.budget = split, budget

    def carried(self) -> dict[str, Any]:
        return {"split": self.split, **super().carried()}


class RollbackException(Recovery):
    """Rolls the fit back to a snapshot, and leaves out data from then on.

    Legal in a training pass. The open batch closes; weights, optimizer, handlers, counters, random
    number generators and the position of the loader become those of the snapshot, and training goes
    on from there. `state.rollbacks` has what was left out.

    Args:
        reason: why.
        to: one of `state.snapshots`, or its step; None: the newest.
        skip: how many batches of the present pass are left out, the live one and those before it,
            as far as they are after the snapshot; None: all since the snapshot. With several ranks
            the live one is that in which it was raised.
        budget: how many rollbacks one fit may make.

    Attributes:
        at: `(epoch, batch_index)` of the live batch when it was raised, if several ranks act on it
            at a vote, which may be some batches later; else None.

    Raises:
        TypeError, ValueError: a number is no int, or out of range.
    """

    scope = "train"
    trigger = BEGIN_ROLLBACK
    to: int | None = None
    skip: int | None = None
    at: Sequence[int] | None = None

    def __init__(
        self,
        reason: str = "",
        *,
        to: Snapshot | int | None = None,
        skip: int | None = None,
        budget: int = 10,
    ) -> None:
        step = to.step if isinstance(to, Snapshot) else to
        for name, number in (("to", step), ("skip", skip), ("budget", budget)):
            if number is not None:
                check_whole_number(f"RollbackException({name}={number!r})", number, least=0)
        super().__init__(reason)
        self.to, self.skip, self.budget = step, skip, budget

    def carried(self) -> dict[str, Any]:
        return {"to": self.to, "skip": self.skip, "at": self.at, **super().carried()}

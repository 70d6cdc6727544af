"""The place at which a rewound run stops."""

from __future__ import annotations

from ...engine import Trainer
from ...events.utils.similar_names import did_you_mean
from ..output.usage_error import UsageError
from .stop_condition import StopCondition


class RewindError(UsageError):
    """The batch cannot be had again; the message says why."""


class Target:
    """The place to stop at.

    Raises:
        UsageError: neither a step nor a condition is given, it cannot be read; or both places are
            given.
    """

    def __init__(
        self, step: int | None, until: str | None, at: str | None, before: str | None
    ) -> None:
        if step is None and until is None:
            raise UsageError(
                "rewind: neither step nor until is given; allowed: one of them, or both, on the "
                "command line --step N and --until CONDITION"
            )
        self.step = step
        self.condition = None if until is None else StopCondition.parse(until)
        if at is not None and before is not None:
            raise UsageError(f"rewind(at={at!r}, before={before!r}): allowed: one of the two")
        self.is_before = before is not None
        self.signal = at or before or ("begin_batch" if until is None else "after_loss")
        if until is not None and self.signal == "begin_batch":
            raise UsageError(f"rewind({self.place}): whether {until!r} is true is not known then")

    @property
    def place(self) -> str:
        """The argument, `before='after_loss'`."""
        return f"{'before' if self.is_before else 'at'}={self.signal!r}"

    @property
    def stop(self) -> str:
        """The trigger of the transition after which it stops."""
        return f"before_{self.signal}" if self.is_before else self.signal

    def __str__(self) -> str:
        parts = [] if self.step is None else [f"step {self.step}"]
        parts += [] if self.condition is None else [f"the condition {self.condition.text!r}"]
        return " and ".join(parts)

    def hint(self, step: int) -> str:
        """How to stop before what the condition is about was computed."""
        if not (self.is_before and self.condition is not None):
            return ""
        return f"; rewind(step={step}, {self.place}) stops in that batch"

    def check(self, trainer: Trainer) -> None:
        """Refuse a signal or a field that the trainer does not have."""
        self.signal = trainer.signal_name(self.signal)
        if self.signal not in trainer.signals:
            raise UsageError(
                f"rewind({self.place}): this trainer sends no such signal"
                f"{did_you_mean(self.signal, trainer.signals)}"
            )
        if self.condition is not None:
            self.condition.check(trainer.state)

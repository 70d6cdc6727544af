"""Refuses two schedules that write the same option of the same optimizer."""

from __future__ import annotations

from ...events import AttachError, TrainerProtocol, TrainState
from .._named_target import OptimizerTarget, optimizer_of
from .._writes import Writes


class OptionWriter(OptimizerTarget):
    """Base of schedules: each option of an optimizer has one writer.

    Attributes:
        options: names of those that it writes.
        written_at: the signals at which it does.
        group: 0-based number of the only parameter group that is written; None: all groups.
    """

    options: tuple[str, ...] = ("lr",)
    written_at: tuple[str, ...] = ("begin_fit", "begin_batch", "after_fit")
    group: int | None = None

    @property
    def writes(self) -> Writes:
        """The parts of the state that it writes, by signal."""
        parts = tuple(f"optimizer.{option}" for option in self.options)
        return dict.fromkeys(self.written_at, parts)

    def attached(self, trainer: TrainerProtocol) -> None:
        """Check the name of the optimizer, and that it has no other writer of the same option.

        Raises:
            AttachError: names both handlers; or a parameter group that has no such option.
        """
        super().attached(trainer)
        self._check_rates(trainer.state)
        for other in trainer.handlers:
            if other is not self and isinstance(other, OptionWriter):
                self._check_rival(other, trainer.state)

    def _check_rates(self, state: TrainState) -> None:
        optimizer = optimizer_of(state, self.of)
        groups = [] if optimizer is None or "lr" not in self.options else optimizer.param_groups
        for number, group in enumerate(groups):
            if "lr" not in group and self.group in (None, number):
                raise AttachError(
                    f"{type(self).__name__} writes the learning rate, and parameter group {number} "
                    f"of the {type(optimizer).__name__} has no 'lr'; its options are "
                    f"{', '.join(name for name in group if name != 'params') or 'none'}"
                )

    def _check_rival(self, other: OptionWriter, state: TrainState) -> None:
        option = next((name for name in self.options if name in other.options), None)
        apart = None not in (self.group, other.group) and self.group != other.group
        is_shared = optimizer_of(state, self.of) is optimizer_of(state, other.of)
        if option is not None and is_shared and not apart:
            whose = "the optimizer" if self.of is None else f"the optimizer {self.of!r}"
            raise AttachError(
                f"{type(self).__name__} and {type(other).__name__}, which is attached already, "
                f"both write {option} of {whose}; detach one of them; one LRSchedule can run "
                "several curves, with torch's SequentialLR or ChainedScheduler"
            )

"""Refuses two schedules that write the same option of the same optimizer."""

from __future__ import annotations

from ...events import AttachError, TrainerProtocol, TrainState
from .._named_target import OptimizerTarget, optimizer_of


class OptionWriter(OptimizerTarget):
    """Base of schedules: each option of an optimizer has one writer.

    Attributes:
        writes: names of the options.
        group: 0-based number of the only parameter group that is written; None: all groups.
    """

    writes: tuple[str, ...] = ("lr",)
    group: int | None = None

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
        groups = [] if optimizer is None or "lr" not in self.writes else optimizer.param_groups
        for number, group in enumerate(groups):
            if "lr" not in group and self.group in (None, number):
                raise AttachError(
                    f"{type(self).__name__} writes the learning rate, and parameter group {number} "
                    f"of the {type(optimizer).__name__} has no 'lr'; its options are "
                    f"{', '.join(name for name in group if name != 'params') or 'none'}"
                )

    def _check_rival(self, other: OptionWriter, state: TrainState) -> None:
        option = next((name for name in self.writes if name in other.writes), None)
        apart = None not in (self.group, other.group) and self.group != other.group
        is_shared = optimizer_of(state, self.of) is optimizer_of(state, other.of)
        if option is not None and is_shared and not apart:
            whose = "the optimizer" if self.of is None else f"the optimizer {self.of!r}"
            raise AttachError(
                f"{type(self).__name__} and {type(other).__name__}, which is attached already, "
                f"both write {option} of {whose}; detach one of them; one LRSchedule can run "
                "several curves, with torch's SequentialLR or ChainedScheduler"
            )

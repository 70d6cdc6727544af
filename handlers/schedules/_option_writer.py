"""Handlers that write options of an optimizer."""

from __future__ import annotations

from .._named_target import OptimizerTarget


class OptionWriter(OptimizerTarget):
    """Base of schedules: which options they write.

    Attributes:
        writes: names of the options.
        group: 0-based number of the only parameter group that is written; None: all groups.
    """

    writes: tuple[str, ...] = ("lr",)
    group: int | None = None

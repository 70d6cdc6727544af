"""The interface of a trainer that saving and restoring need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ...events import Agreement, TrainState
from ...events.bus.conflicts import Conflict
from ...events.bus.subscription_counts import SubscriptionCounts
from ..statechart.topology import Topology


class CheckpointedTrainer(Protocol):
    """What checkpoints read and call of a trainer."""

    begins: Mapping[str, str]
    """Where its live run begins, or the last one, in words."""

    @property
    def state(self) -> TrainState:
        """The model, the optimizer, the loaders, the counters."""

    @property
    def topology(self) -> Topology:
        """The chart of its fit."""

    @property
    def handlers(self) -> list[Any]:
        """Attached handlers and subscribed functions, in order of attachment."""

    @property
    def agreement(self) -> Agreement | None:
        """With whom its runs agree; None: it runs alone."""

    @property
    def conflicts(self) -> list[Conflict]:
        """The handlers that write the same part of the state in an order that is not declared."""

    @property
    def subscription_counts(self) -> SubscriptionCounts:
        """Call counts of filtered subscriptions."""

    def detach(self, subscribed: Any) -> None:
        """Detach a handler whose state cannot be saved or loaded."""

"""A metric in a rehearsal, where there are no predictions."""

from __future__ import annotations

from typing import Any

import torch


class UnknownMetric:
    """A metric without a value; one that is a collection has a value for each of its names."""

    def __init__(self, metric: Any) -> None:
        self.names = list(metric.keys()) if hasattr(metric, "keys") else None

    def update(self, *arguments: Any) -> None:
        """There are no predictions."""

    def reset(self) -> None:
        """There is nothing to forget."""

    def compute(self) -> Any:
        nothing = torch.tensor(float("nan"))
        return nothing if self.names is None else dict.fromkeys(self.names, nothing)

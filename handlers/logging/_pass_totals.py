"""What Metrics adds up over the batches of a pass."""

from __future__ import annotations

from typing import Any

import torch

from ._metric_state import load_metric_state, metric_state
from ._rank_totals import devices_over_ranks, loss_over_ranks, metric_over_ranks


class PassTotals:
    """The running loss and metrics of the completed batches of one pass."""

    def __init__(self, metrics: dict[str, Any]) -> None:
        self.metrics = metrics
        self.total: torch.Tensor | None = None
        self.samples = 0
        self.device: torch.device | None = None
        self.by_name: dict[str, PassTotals] = {}

    def of(self, name: str) -> PassTotals:
        """The loss of the updates of one name."""
        return self.by_name.setdefault(name, PassTotals({}))

    def move_to(self, device: torch.device) -> None:
        if device == self.device:
            return
        for metric in self.metrics.values():
            if hasattr(metric, "to"):
                metric.to(device)
        self.device = device

    def add(self, loss: torch.Tensor, samples: int) -> None:
        # in float64 where the device supports it: a pass may have 10⁶ batches
        if self.total is None or self.total.device != loss.device:
            dtype = torch.float32 if loss.is_mps else torch.float64
            before = torch.zeros_like(loss) if self.total is None else self.total
            self.total = before.to(loss.device, dtype)
        self.total.add_(loss, alpha=samples)
        self.samples += samples

    def state(self) -> dict[str, Any]:
        metrics = {name: metric_state(metric) for name, metric in self.metrics.items()}
        by_name = {name: totals.state() for name, totals in self.by_name.items()}
        own = {"total": self.total, "samples": self.samples, "metrics": metrics}
        return {**own, "by_name": by_name}

    def load(self, state: dict[str, Any]) -> None:
        self.total, self.samples = state["total"], state["samples"]
        for name, metric in self.metrics.items():
            load_metric_state(metric, state["metrics"][name])
        for name, totals in state["by_name"].items():
            self.of(name).load(totals)

    def compute(self) -> dict[str, Any]:
        if self.total is None:
            return {}
        metrics = {name: metric.compute() for name, metric in self.metrics.items()}
        return {**self._losses(), **metrics}

    def compute_over_ranks(self, device: torch.device | None) -> dict[str, Any]:
        """The same for the examples of all ranks, each of which calls it."""
        own = None if self.total is None else self.total.device, self.device
        device, of_metrics = devices_over_ranks(own, device)
        total = self.total if self.total is None or device is None else self.total.to(device)
        loss = loss_over_ranks(total, self.samples, device)
        if loss is None:
            return {}
        if of_metrics is not None:
            self.move_to(of_metrics)
        metrics = {n: metric_over_ranks(m, self.samples) for n, m in self.metrics.items()}
        return {"loss": loss, **metrics}

    def _losses(self) -> dict[str, Any]:
        losses = {f"{name}_loss": totals.mean for name, totals in self.by_name.items()}
        return losses or {"loss": self.mean}

    @property
    def mean(self) -> torch.Tensor | None:
        """The mean loss of an example; None before the first batch."""
        return None if self.total is None else self.total / self.samples

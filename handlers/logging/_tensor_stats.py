"""Statistics of tensors, kept where the tensors are until they are read, all at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...events import TrainerProtocol, TrainState
from .._stateful import Saved


class Statistics(Saved):
    """Rows of mean, standard deviation and histogram; read from the device once an epoch."""

    saved = ("rows", "_fit", "_unread")

    on_error = "detach"

    def __init__(self, every: int, bins: int, limits: tuple[float, float]) -> None:
        owner = type(self).__name__
        for name, count in (("every", every), ("bins", bins)):
            if isinstance(count, bool) or not isinstance(count, int):
                raise TypeError(f"{owner}({name}={count!r}): allowed: an int, from 1")
            if count < 1:
                raise ValueError(f"{owner}({name}={count}): allowed: an int, from 1")
        low, high = limits
        if not float("-inf") < low < high < float("inf"):
            raise ValueError(f"{owner}: ({low}, {high}): allowed: two finite numbers, low < high")
        self.every = every
        self.edges: list[float] = torch.linspace(low, high, bins + 1, device="cpu").tolist()
        self.rows: list[dict[str, Any]] = []
        self._limits = float(low), float(high)
        self._fit = 0
        self._unread: list[tuple[dict[str, Any], Tensor]] = []

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._fit = self.rows[-1]["fit"] + 1 if self.rows else 0

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        unread, self._unread = self._unread, []
        readable = [(row, found) for row, found in unread if not found.is_meta]
        if not readable:
            return
        device = readable[0][1].device
        numbers = torch.stack([found.to(device) for _, found in readable]).tolist()
        for (row, _), (mean, std, *histogram) in zip(readable, numbers, strict=True):
            self.rows.append({**row, "mean": mean, "std": std, "histogram": histogram})

    @torch.no_grad()
    def _add(self, state: TrainState, name: str, tensor: Tensor) -> None:
        values = tensor.detach()
        if values.is_sparse:
            values = values.coalesce().values()
        if values.is_complex():
            values = torch.view_as_real(values)
        if not values.numel():
            return
        values = values.to(torch.float32)
        std, mean = torch.std_mean(values, correction=0)
        low, high = self._limits
        scaled = self._scaled(values).clamp(low, high)  # what lies outside counts at the ends
        counts = torch.histc(scaled, len(self.edges) - 1, low, high)
        row = {
            "fit": self._fit,
            "epoch": state.epoch,
            "batch": state.batch_index,
            "step": state.step,
            "name": name,
        }
        self._unread.append((row, torch.cat([torch.stack([mean, std]), counts])))

    def _scaled(self, values: Tensor) -> Tensor:
        """What the histogram counts."""
        return values

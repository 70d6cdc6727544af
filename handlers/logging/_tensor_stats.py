"""Statistics of tensors, kept on the device, and read together once an epoch."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ...events import TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from .._stateful import Stateful


class TensorStats(Stateful):
    """Base of handlers with rows of mean, standard deviation and histogram of tensors."""

    saved: ClassVar[tuple[str, ...]] = ("rows", "_fit", "_unread")

    on_error = "detach"

    def __init__(self, every: int, bins: int, limits: tuple[float, float]) -> None:
        owner = type(self).__name__
        for name, count in (("every", every), ("bins", bins)):
            check_whole_number(f"{owner}({name}={count!r})", count, least=1)
        low, high = limits
        if not float("-inf") < low < high < float("inf"):
            raise ValueError(f"{owner}: ({low}, {high}): allowed: two finite numbers, low < high")
        self.every = every
        self._bins = bins
        self.edges: list[float] = torch.linspace(low, high, bins + 1, device="cpu").tolist()
        self.rows: list[dict[str, Any]] = []
        self._limits = float(low), float(high)
        self._fit = 0
        self._unread: list[tuple[dict[str, Any], Tensor]] = []

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._fit = self.rows[-1]["fit"] + 1 if self.rows else 0
        self._unread = []  # of a pass after the last epoch, such as that of SWA

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        unread, self._unread = self._unread, []
        with_values = [(row, measured) for row, measured in unread if not measured.is_meta]
        if not with_values:
            return
        device = with_values[0][1].device
        numbers = torch.stack([measured.to(device) for _, measured in with_values]).tolist()
        for (row, _), (mean, std, *histogram) in zip(with_values, numbers, strict=True):
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
        counted = self._transform(values).clamp(low, high)  # outside: in the outermost bins
        counts = torch.histc(counted, len(self.edges) - 1, low, high)
        row = {
            "fit": self._fit,
            "epoch": state.epoch,
            "batch": state.batch_index,
            "step": state.step,
            "name": name,
        }
        self._unread.append((row, torch.cat([torch.stack([mean, std]), counts])))

    def _transform(self, values: Tensor) -> Tensor:
        """The values that the histogram counts."""
        return values

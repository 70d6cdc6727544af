"""Keep the examples of the largest loss on the device, without a sync."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ...events.utils.nested import leaves, map_nested

Groups = dict[str, tuple[torch.Tensor, dict[str, Any]]]


class WorstKept:
    """The losses and values of the worst examples of a pass.

    Those of one shape are kept together, at most `most` of each, so that inputs of different
    lengths need no padding and nothing must be read until the pass has ended.

    Attributes:
        groups: losses `(n,)` and values of n rows, by what describes the shapes; saved in
            checkpoints.
    """

    def __init__(self, most: int, groups: Groups | None = None) -> None:
        self.most = most
        self.groups: Groups = groups or {}

    def add(self, losses: torch.Tensor, values: dict[str, Any]) -> None:
        """Add the examples of a batch.

        Args:
            losses: `(B,)`.
            values: by name, nested tensors `(B, …)`.
        """
        key = _shapes(values)
        if key in self.groups:
            kept_losses, kept = self.groups[key]
            losses = _joined(kept_losses, losses)
            values = map_nested(_joined, kept, values, only=torch.Tensor)
        if len(losses) <= self.most:  # not sliced below: a loader may use its memory again
            values = map_nested(torch.Tensor.clone, values, only=torch.Tensor)
        else:
            losses, chosen = losses.topk(self.most)
            values = map_nested(
                lambda rows: rows.index_select(0, chosen.to(rows.device)),
                values,
                only=torch.Tensor,
            )
        self.groups[key] = losses, values

    def entries(self) -> list[tuple[float, dict[str, Any]]]:
        """Loss and values of each, on the CPU, the worst first. Cost: syncs."""
        found = sorted(self._entries(), key=badness, reverse=True)
        return found[: self.most]

    def _entries(self) -> Iterator[tuple[float, dict[str, Any]]]:
        for losses, values in self.groups.values():
            on_cpu = map_nested(torch.Tensor.cpu, values, only=torch.Tensor)
            for row, loss in enumerate(losses.tolist()):
                yield loss, map_nested(_row_of(row), on_cpu, only=torch.Tensor)


def badness(entry: tuple[float, dict[str, Any]]) -> float:
    """A loss to sort by: NaN is the worst."""
    loss = entry[0]
    return float("inf") if math.isnan(loss) else loss


def _row_of(row: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda rows: rows[row].clone()  # a view would be pickled with all rows


def _joined(kept: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    return torch.cat([kept.to(new.device), new])  # a resumed fit has loaded it to the CPU


def _shapes(values: dict[str, Any]) -> str:
    return str([(tuple(one.shape[1:]), str(one.dtype)) for one in leaves(values, torch.Tensor)])

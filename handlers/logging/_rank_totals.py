"""The loss and metrics of a pass over the examples of all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch

from ...events.utils.nested import map_nested
from .._ranks import gather_over_ranks, meet, sum_over_ranks
from ._metric_state import synchronises_itself


def loss_over_ranks(
    total: torch.Tensor | None, samples: int, device: torch.device | None
) -> torch.Tensor | None:
    """The mean loss of an example; None if no rank had a batch.

    Args:
        total: the sum of the losses of this rank, None before its first batch.
        samples: the examples of this rank.
        device: where the ranks exchange it, if this one has no total.
    """
    own = torch.zeros((), dtype=torch.float64, device=device) if total is None else total
    sums = torch.stack((own.reshape(()), torch.full_like(own.reshape(()), samples)))
    sum_over_ranks(sums, "the loss of a pass")
    return sums[0] / sums[1] if float(sums[1]) else None


def devices_over_ranks(
    own: Sequence[torch.device | None], default: torch.device | None
) -> list[torch.device | None]:
    """Where all ranks exchange what they have on `own` devices, None where they have nothing.

    A rank without an example, or one that has loaded its totals, may have them on the CPU, or
    nowhere, and the others on a GPU: the latter counts. Each rank has its own one.
    """
    kinds = gather_over_ranks(
        [None if device is None else device.type for device in own], "devices"
    )
    together = zip(own, zip(*kinds, strict=True), strict=True)
    return [_device_of_kind(_kind(found), device, default) for device, found in together]


def _kind(found: Sequence[str | None]) -> str | None:
    kinds = [kind for kind in found if kind is not None]
    return next((kind for kind in kinds if kind != "cpu"), kinds[0] if kinds else None)


def _device_of_kind(kind: str | None, *known: torch.device | None) -> torch.device | None:
    if kind is None:
        return known[-1]
    same = (device for device in known if device is not None and device.type == kind)
    return next(same, torch.device(kind))


def metric_over_ranks(metric: Any, samples: int) -> Any:
    """The result of a metric for the examples of all ranks.

    Metrics of torchmetrics exchange what they have seen by themselves. Those with `merge_state`,
    as torcheval's, are merged. The results of any other are averaged, weighted by the examples of
    each rank: exact for a mean over examples.
    """
    if synchronises_itself(metric):
        meet("a metric")
        return metric.compute()
    if hasattr(metric, "merge_state"):
        merged, *others = gather_over_ranks(metric, "a metric")
        return merged.merge_state(others).compute()
    result = map_nested(_plain, metric.compute(), only=torch.Tensor) if samples else None
    return _weighted_mean(
        [entry for entry in gather_over_ranks((samples, result), "a metric") if entry[0]]
    )


def _plain(value: torch.Tensor) -> torch.Tensor:
    return value.detach().cpu()


def _weighted_mean(ranks: Sequence[tuple[int, Any]]) -> Any:
    if not ranks:
        return float("nan")
    count = sum(samples for samples, _ in ranks)

    def mean(*results: Any) -> Any:
        if not isinstance(results[0], (torch.Tensor, Real)):
            return results[0]
        parts = (
            result * (samples / count) for (samples, _), result in zip(ranks, results, strict=True)
        )
        return sum(parts)

    return map_nested(mean, *(result for _, result in ranks))

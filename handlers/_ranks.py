"""What handlers exchange with the other ranks; called by all ranks in the same order."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """The sum of `values` over all ranks, in place. Cost: a collective, no device sync."""
    dist.all_reduce(values)
    return values


def gather_over_ranks(value: Any) -> list[Any]:
    """The `value` of each rank, by rank: anything that can be pickled. Cost: a device sync."""
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def gather_on_main(value: Any) -> list[Any]:
    """The `value` of each rank on rank 0, elsewhere that of this rank. Cost: a device sync."""
    gathered: list[Any] = [None] * dist.get_world_size()
    is_main = dist.get_rank() == 0
    dist.gather_object(value, gathered if is_main else None)
    return gathered if is_main else [value]

"""What handlers exchange with the other ranks; called by all ranks in the same order."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from ..events import PeerError
from ._torch_internals import group_timeout


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


class BackgroundGroup:
    """All ranks as they meet in another thread; all make it together. Implements `events.Peers`."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self._group: Any = dist.new_group(backend="gloo", timeout=group_timeout())

    def exchange(self, text: str) -> list[str]:
        """The texts of all ranks. Raises: PeerError, if a rank is lost."""
        texts: list[Any] = [None] * dist.get_world_size()
        try:
            dist.all_gather_object(texts, text, group=self._group)
        except (RuntimeError, ValueError) as error:
            raise PeerError(
                f"a rank is lost: rank {self.rank} has waited for it to write a checkpoint "
                f"together ({error})"
            ) from error
        return texts

    def close(self) -> None:
        """End the group; what another rank waits for in it fails."""
        if dist.is_initialized():
            dist.destroy_process_group(self._group)

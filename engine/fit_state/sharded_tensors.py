"""Tensors of which every rank has a shard (`DTensor`): saved whole, and sharded again."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def is_sharded(tensor: Any) -> bool:
    """Whether it is a DTensor, whose module is slow to import."""
    return isinstance(tensor, Tensor) and hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor; a sharded one is collected: all ranks call it together."""
    collected: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return collected


def sharded_like(like: Any, tensor: Tensor) -> Tensor:
    """`tensor`, sharded as `like` is; all ranks call it together."""
    if not is_sharded(like) or is_sharded(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor  # noqa: PLC0415  # slow to import

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)

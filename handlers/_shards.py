"""Tensors of which every rank has some rows (`DTensor`), as FSDP2 leaves them during a fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from ._ranks import meet


def is_sharded(tensor: Any) -> bool:
    """Whether it is a DTensor, whose module is slow to import."""
    return hasattr(tensor, "full_tensor")


def is_any_sharded(module: nn.Module) -> bool:
    """Whether a parameter of a module is sharded."""
    return any(map(is_sharded, module.parameters()))


def rows_here(tensor: Any) -> Tensor:
    """The rows of a sharded tensor that this rank has, in the same memory; else the tensor."""
    own: Tensor = tensor.to_local() if is_sharded(tensor) else tensor
    return own


def sharded_as(like: Any, tensor: Any) -> Any:
    """`tensor`, which is whole and equal on all ranks, sharded as `like` is; no communication."""
    if not is_sharded(like) or is_sharded(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor  # noqa: PLC0415  # slow to import

    mesh, placements = like.device_mesh, like.placements
    return distribute_tensor(tensor.to(like.device), mesh, placements, src_data_rank=None)


def shard_parameters(module: nn.Module, like: nn.Module) -> None:
    """Shard the parameters of a module as those of one with the same names are."""
    sharded = dict(like.named_parameters(remove_duplicate=False))

    def shard_of(name: str, parameter: nn.Parameter) -> Any:
        if is_sharded(parameter) or not is_sharded(sharded[name]):
            return parameter
        value = sharded[name].clone() if parameter.is_meta else parameter
        shard = sharded_as(sharded[name], value.detach())
        return nn.Parameter(shard, parameter.requires_grad)

    replace_parameters(module, shard_of)


def replace_parameters(module: nn.Module, other: Callable[[str, nn.Parameter], Any]) -> None:
    """Put `other(name, parameter)` in the place of each parameter, of tied ones in all places."""
    made: dict[int, Any] = {}
    for name, parameter in list(module.named_parameters(remove_duplicate=False)):
        if id(parameter) not in made:
            made[id(parameter)] = other(name, parameter)
        set_parameter(module, name, made[id(parameter)])


def set_parameter(module: nn.Module, name: str, parameter: Any) -> None:
    """Put a parameter in the place of the one with this name, which has dots for submodules."""
    owner, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(owner), attribute, parameter)


def total_norm(gradients: Iterable[Tensor], norm_type: float) -> Tensor:
    """The norm of all gradients together: one number for all ranks, which call it together."""
    gradients = list(gradients)
    sharded: list[Any] = [gradient for gradient in gradients if is_sharded(gradient)]
    if not sharded:
        return get_total_norm(gradients, norm_type)
    local = [shard.to_local() for shard in sharded]
    own = get_total_norm([shard for shard in local if shard.numel()], norm_type)
    own = own.to(sharded[0].device, torch.float32)
    whole = _norm_of_ranks(own, norm_type, sharded[0].device_mesh.get_group())
    others = [gradient for gradient in gradients if not is_sharded(gradient)]
    return get_total_norm([whole, *others], norm_type)


def _norm_of_ranks(own: Tensor, norm_type: float, group: Any) -> Tensor:
    meet("the norm of the gradients")
    if norm_type != torch.inf:
        powers = own**norm_type
        dist.all_reduce(powers, group=group)
        return powers ** (1 / norm_type)
    is_nan = own.isnan()  # apart: the maximum of a number and NaN may be the number
    largest = torch.stack([own.nan_to_num(0.0, torch.inf), is_nan.float()])
    dist.all_reduce(largest, dist.ReduceOp.MAX, group=group)
    return torch.where(largest[1] > 0, torch.nan, largest[0])

"""The first weights of a model that was made on the meta device, where tensors have no values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from ...events import TrainState
from .._shards import is_sharded, set_parameter, sharded_as
from .._torch_internals import reset_of


def is_on_meta(model: nn.Module) -> bool:
    """Whether the parameters have no values yet.

    Raises:
        ValueError: some have values, which the first ones of the others would replace.
    """
    meta = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    valued = next((name for name, p in model.named_parameters() if not p.is_meta), None)
    if meta and valued is not None:
        raise ValueError(
            f"the model is partly on the meta device: {meta[0]} has no values, {valued} has; "
            "allowed: all parameters on it, or none"
        )
    return bool(meta)


def check_resettable(model: nn.Module) -> None:
    """Refuse a model on the meta device with modules that cannot make their values.

    Raises:
        ValueError: names them.
    """
    owners = [(name, module) for name, module in model.named_modules() if _tensors(module)]
    missing = [f"{name or 'it'} ({type(m).__name__})" for name, m in owners if reset_of(m) is None]
    if is_on_meta(model) and missing:
        raise ValueError(
            f"the model is on the meta device, and {', '.join(missing[:3])} cannot make values for "
            "its parameters and buffers; allowed: modules with a method reset_parameters()"
        )


def initialise(model: nn.Module, device: torch.device, group: Any = None) -> None:
    """Give the parameters values on `device`, by `reset_parameters()` of each module.

    One module after the other is made whole on the CPU, so that the values are those of one
    process, whatever the number of ranks; each rank keeps its rows.

    Args:
        group: of all ranks, which use the random numbers of rank 0; None: there is one process.
    """
    names = names_of_parameters(model)
    model.to_empty(device=device)
    for name, first in names.items():  # to_empty makes tied ones different parameters
        set_parameter(model, name, model.get_parameter(first))
    with torch.random.fork_rng(devices=[], enabled=group is not None):
        if group is not None:
            torch.set_rng_state(_of_rank_0(torch.get_rng_state(), device, group))
        made: set[int] = set()
        for module in _inner_first(model):
            _reset(module, made)


def initialise_alone(state: TrainState) -> None:
    """Give the model of a fit in one process its first weights, if it is on the meta device."""
    if not is_on_meta(state.model):
        return
    old = dict(state.model.named_parameters())
    initialise(state.model, device_of(state))
    exchange_parameters(state.optimizer, old, dict(state.model.named_parameters()))


def exchange_parameters(
    optimizer: Optimizer | None, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """Put other parameters in the place of those with the same names."""
    if optimizer is None:
        return
    by_id = {id(old[name]): new[name] for name in old}
    for group in optimizer.param_groups:
        group["params"] = [by_id.get(id(p), p) for p in group["params"]]
    for parameter in list(optimizer.state):
        if id(parameter) in by_id:
            optimizer.state[by_id[id(parameter)]] = optimizer.state.pop(parameter)


def names_of_parameters(model: nn.Module) -> dict[str, str]:
    """All names of the parameters, each with the first name of the same one: some are tied."""
    first: dict[int, str] = {}
    named = model.named_parameters(remove_duplicate=False)
    return {name: first.setdefault(id(parameter), name) for name, parameter in named}


def device_of(state: TrainState) -> torch.device:
    """Where the parameters are, or, if that is the meta device, where they shall be."""
    if state.device is not None:
        return state.device
    devices = (p.device for p in state.model.parameters() if not p.is_meta)
    return next(devices, torch.device("cpu"))


def _of_rank_0(state: torch.Tensor, device: torch.device, group: Any) -> torch.Tensor:
    shared = state.to(device)
    dist.broadcast(shared, 0, group=group)
    return shared.cpu()


def _inner_first(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from _inner_first(child)
    yield module


def _reset(module: nn.Module, made: set[int]) -> None:
    """Make the values of a module's parameters, but for tied ones that another module has made."""
    reset = reset_of(module)
    if reset is None or not _tensors(module):
        return
    shards = dict(module.named_parameters(recurse=False))
    for name, shard in shards.items():
        whole = torch.empty(shard.shape, dtype=shard.dtype)
        setattr(module, name, nn.Parameter(whole, shard.requires_grad))
    reset()
    for name, shard in shards.items():
        values = getattr(module, name).detach()
        if id(shard) not in made:
            with torch.no_grad():
                shard.copy_(sharded_as(shard, values) if is_sharded(shard) else values)
        made.add(id(shard))
        setattr(module, name, shard)


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]

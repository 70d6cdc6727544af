"""The model as FSDP2 trains it: sharded in place for the time of a run, whole again afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from ...events import TrainState
from .._torch_internals import end_sharding, forget_group
from ._process_group import DataGroup
from ._wrapped_model import equalise

Parameters = dict[str, Any]


class ShardedModel:
    """Shards parameters, gradients and optimizer states over the ranks, by `fully_shard`.

    The model and the optimizer are the same objects; their parameters are DTensors meanwhile.

    Args:
        state: of a run; all ranks begin with the weights and buffers of rank 0.
        group: the process group of the weights and the gradients.
    """

    collective = ("forward", "backward", "step")

    def __init__(self, state: TrainState, group: DataGroup) -> None:
        self._group = group
        self._model: Any = state.model
        equalise([*self._model.parameters(), *self._model.buffers()], group.group)
        self._whole: Parameters = dict(self._model.named_parameters())
        kind = next((p.device.type for p in self._whole.values()), "cpu")
        mesh = DeviceMesh.from_group(group.group, kind)
        fully_shard(self._model, mesh=mesh, reshard_after_forward=True)
        self._shards: Parameters = dict(self._model.named_parameters())
        _exchange(state.optimizer, self._whole, self._shards)
        _shard_states(state.optimizer)

    def update(self, state: TrainState) -> None:
        """Do nothing: which parameters require gradients is read in each backward pass."""

    def module(self, model: nn.Module) -> nn.Module:
        """What a training batch calls in place of `model`: the model itself."""
        return model

    def reducing(self, does: bool) -> AbstractContextManager[None]:
        """The context of a forward pass whose backward pass reduces the gradients, or does not."""
        self._model.set_requires_gradient_sync(does)
        return nullcontext()

    def end_training(self, state: TrainState) -> None:
        """Give all ranks the buffers of rank 0, which are not sharded."""
        equalise(self._model.buffers(), self._group.group)

    def release(self) -> None:
        """End the group, which the sharded modules hold, too."""
        forget_group(self._model)
        self._group.end()

    def close(self, state: TrainState) -> None:
        """Collect the shards into the parameters that the model had; all ranks call it together.

        After an error the ranks may not be together: the parameters then have the values from
        before the run, and a warning says so.
        """
        self._model.reshard()
        if state.outcome != "failed":
            _collect(self._shards, self._whole)
            _collect_states(state.optimizer)
        else:
            _forget_states(state.optimizer)
            warnings.warn(
                "the shards of the model are not collected after an error: it has the weights from "
                "before the run; resume from a checkpoint",
                stacklevel=2,
            )
        end_sharding(self._model)
        for name, parameter in self._whole.items():
            owner, _, attribute = name.rpartition(".")
            setattr(self._model.get_submodule(owner), attribute, parameter)
        _exchange(state.optimizer, self._shards, self._whole)


def _exchange(optimizer: Optimizer | None, old: Parameters, new: Parameters) -> None:
    """Put other parameters in the place of those with the same names."""
    if optimizer is None:
        return
    by_id = {id(old[name]): new[name] for name in old}
    for group in optimizer.param_groups:
        group["params"] = [by_id.get(id(p), p) for p in group["params"]]
    for parameter in list(optimizer.state):
        if id(parameter) in by_id:
            optimizer.state[by_id[id(parameter)]] = optimizer.state.pop(parameter)


def _shard_states(optimizer: Optimizer | None) -> None:
    for parameter, kept in _states(optimizer):
        if not isinstance(parameter, DTensor):
            continue
        mesh, placements = parameter.device_mesh, parameter.placements
        for name, value in kept.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                kept[name] = distribute_tensor(value, mesh, placements)


def _collect(shards: Mapping[str, Any], whole: Mapping[str, Any]) -> None:
    with torch.no_grad():
        for name, parameter in whole.items():
            parameter.copy_(shards[name].full_tensor())
            gradient = shards[name].grad
            parameter.grad = None if gradient is None else gradient.full_tensor()


def _collect_states(optimizer: Optimizer | None) -> None:
    for _, kept in _states(optimizer):
        kept.update({n: v.full_tensor() for n, v in kept.items() if isinstance(v, DTensor)})


def _forget_states(optimizer: Optimizer | None) -> None:
    for _, kept in _states(optimizer):
        if any(isinstance(value, DTensor) for value in kept.values()):
            kept.clear()


def _states(optimizer: Optimizer | None) -> list[tuple[Any, dict[str, Any]]]:
    return [] if optimizer is None else list(optimizer.state.items())

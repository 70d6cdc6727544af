"""The model as FSDP2 trains it: sharded in place for the time of a run, whole again afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ...events import TrainState
from .._shards import is_sharded, replace_parameters, set_parameter, sharded_as
from .._torch_internals import end_sharding, forget_group, watch_sharding
from ._collective_waits import CollectiveWaits
from ._control_group import ControlGroup
from ._meta_model import device_of, exchange_parameters, initialise, is_on_meta, names_of_parameters
from ._process_group import DataGroup
from ._sharding_checks import blocks_of
from ._synchronised_norms import exchanging_in, synchronised_norms
from ._wrapped_model import equalise

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Sharding:
    """The options of `Distributed` for "fsdp2"; see there."""

    blocks: Callable[[nn.Module], bool] | None = None
    mixed_precision: Any = None
    whole: bool = True


class ShardedModel:
    """Shards parameters, gradients and optimizer states over the ranks, by `fully_shard`.

    The model and the optimizer are the same objects; their parameters are DTensors meanwhile, and
    the memory of the whole ones is free.

    Args:
        state: of a run; all ranks begin with the weights and buffers of rank 0. A model on the meta
            device gets its first weights, and its optimizer their shards.
        group: the process group of the weights and the gradients.
        options: how it is sharded.
    """

    collective = ("forward", "backward", "step")

    def __init__(self, state: TrainState, group: DataGroup, options: Sharding) -> None:
        self._group = group
        self._model: Any = state.model
        self._options = options
        self._waits = CollectiveWaits()
        self._is_watched = False
        self._norms = synchronised_norms(self._model)
        self._whole: Parameters = dict(self._model.named_parameters())
        self._names = names_of_parameters(self._model)
        is_meta = is_on_meta(self._model)
        if not is_meta:
            equalise([*self._model.parameters(), *self._model.buffers()], group.group)
        device = device_of(state)
        try:
            self._fully_shard(device.type)
            if is_meta:
                initialise(self._model, device, group.group)
        except BaseException:
            end_sharding(self._model)
            self._replace(self._whole)
            raise
        self._shards: Parameters = dict(self._model.named_parameters())
        exchange_parameters(state.optimizer, self._whole, self._shards)
        _shard_states(state.optimizer)
        self._states_before: Any = None if state.optimizer is None else state.optimizer.state
        self._layouts = {} if is_meta else _free(self._whole)

    def _fully_shard(self, kind: str) -> None:
        """Shard each block, then what is in none; a block is whole only while it computes."""
        options: dict[str, Any] = {
            "mesh": DeviceMesh.from_group(self._group.group, kind),
            "mp_policy": self._options.mixed_precision or MixedPrecisionPolicy(),
            "reshard_after_forward": True,
        }
        for block in blocks_of(self._model, self._options.blocks):
            fully_shard(block, **options)
        fully_shard(self._model, **options)

    def update(self, state: TrainState) -> None:
        """Watch it; which parameters require gradients is read in each backward pass."""
        if self._waits.is_watched and not self._is_watched:
            self._is_watched = True
            watch_sharding(self._model, self._waits.waiting)

    def module(self, model: nn.Module) -> nn.Module:
        """What a training batch calls in place of `model`: the model itself."""
        return model

    def reducing(self, does: bool) -> AbstractContextManager[None]:
        """The context of a forward pass whose backward pass reduces the gradients, or does not."""
        self._model.set_requires_gradient_sync(does)
        return exchanging_in(self._group, self._norms, nullcontext())

    def overlaps(self, state: TrainState) -> bool:
        """Never: the gradients are sent by FSDP2 itself."""
        return False

    def follow(self, agreement: ControlGroup) -> None:
        """Ask nobody: the gradients are sent by FSDP2 itself; tell who watches."""
        self._waits.follow(agreement)

    def begin_backward(self, loss: torch.Tensor) -> None:
        """Do nothing: each message is told by itself."""

    def have_gradients(self) -> None:
        """Do nothing: they are shards of their own."""

    def end_backward(self) -> None:
        """Do nothing: each message is told by itself."""

    def end_training(self, state: TrainState) -> None:
        """Give all ranks the buffers of rank 0, which are not sharded."""
        equalise(self._model.buffers(), self._group.group)

    def release(self) -> None:
        """End the group, which the sharded modules hold, too."""
        forget_group(self._model)
        self._group.end()

    def close(
        self, state: TrainState, held: Iterable[nn.Module], together: bool, refused: bool
    ) -> None:
        """Collect the shards into the parameters that the model had.

        After an error the ranks may not be together: floating-point parameters are then NaN,
        others 0, and a warning says so.

        Args:
            held: modules of handlers, such as averaged weights, which are treated alike.
            together: whether all ranks call it.
            refused: whether the run has not begun: some ranks have resumed a fit, others have not.
        """
        for module in self._model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()
        collects = self._options.whole and together
        if self._options.whole and not together:
            warnings.warn(
                "the shards of the model are not collected after an error: its floating-point "
                "parameters are NaN, others 0; resume from a checkpoint",
                stacklevel=2,
            )
        for module in held:
            self._end_shards(module, collects and not refused)
        if refused and state.optimizer is not None:
            state.optimizer.state = self._states_before
        _end_states(state.optimizer, collects)
        forget_group(self._model)  # it is found by its name, until it ends
        end_sharding(self._model)
        whole = {
            name: self._without_shards(self._shards[name], name, collects) for name in self._shards
        }
        self._replace(whole)
        exchange_parameters(state.optimizer, self._shards, whole)

    def _end_shards(self, module: nn.Module, collects: bool) -> None:
        """Replace the shards that a module has of its own, not those of the model."""
        of_model = {id(shard) for shard in self._shards.values()}

        def whole_of(name: str, parameter: nn.Parameter) -> Any:
            if not is_sharded(parameter) or id(parameter) in of_model:
                return parameter  # a collective of these would wait, if one rank alone holds them
            return self._without_shards(parameter, None, collects)

        replace_parameters(module, whole_of)

    def _replace(self, parameters: Parameters) -> None:
        """Put parameters in their places in the model, those that are tied in all of them."""
        for name, first in self._names.items():
            set_parameter(self._model, name, parameters[first])

    def _without_shards(self, shard: Any, name: str | None, collects: bool) -> nn.Parameter:
        """The parameter in the place of a shard: the one from before the run, if it had values."""
        with torch.no_grad():
            if not self._options.whole:
                empty = torch.empty(shard.shape, dtype=shard.dtype, device="meta")
                return nn.Parameter(empty, shard.requires_grad)
            values = shard.full_tensor() if collects else _not_a_number(shard)
            if name not in self._layouts:
                return nn.Parameter(values, shard.requires_grad)
            parameter: nn.Parameter = self._whole[name]
            parameter.data = self._layouts[name].allocate()
            parameter.copy_(values)
            gradient = shard.grad if collects else None
            parameter.grad = None if gradient is None else gradient.full_tensor()
            return parameter


@dataclass(frozen=True)
class _Layout:
    """How the memory of a tensor was."""

    shape: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def allocate(self) -> torch.Tensor:
        return torch.empty_strided(self.shape, self.strides, dtype=self.dtype, device=self.device)


def _free(parameters: Parameters) -> dict[str, _Layout]:
    """Give back the memory of the whole parameters, and of their gradients."""
    layouts = {}
    for name, parameter in parameters.items():
        layouts[name] = _Layout(
            parameter.shape, parameter.stride(), parameter.dtype, parameter.device
        )
        parameter.grad = None
        parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)
    return layouts


def _not_a_number(shard: Any) -> torch.Tensor:
    values = torch.empty(shard.shape, dtype=shard.dtype, device=shard.device)
    return values.fill_(torch.nan if values.is_floating_point() or values.is_complex() else 0)


def _shard_states(optimizer: Optimizer | None) -> None:
    for parameter, kept in _states(optimizer):
        for name, value in kept.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                kept[name] = sharded_as(parameter, value)


def _end_states(optimizer: Optimizer | None, collects: bool) -> None:
    """Collect the sharded states, or forget them."""
    for _, kept in _states(optimizer):
        sharded = {name: value for name, value in kept.items() if isinstance(value, DTensor)}
        if collects:
            kept.update({name: value.full_tensor() for name, value in sharded.items()})
        elif sharded:
            kept.clear()


def _states(optimizer: Optimizer | None) -> list[tuple[Any, dict[str, Any]]]:
    return [] if optimizer is None else list(optimizer.state.items())

"""The model as DistributedDataParallel trains it; `state.model` stays the plain one."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ...events import TrainState
from ._process_group import DataGroup


class WrappedModel(Protocol):
    """The model of a fit as a strategy trains it; all ranks call the methods together."""

    @property
    def collective(self) -> Collection[str]:
        """The activities in which the ranks wait for each other, or that all have to make."""

    def update(self, state: TrainState) -> None:
        """Follow a change of the parameters that require gradients, before a training pass."""

    def module(self, model: nn.Module) -> nn.Module:
        """What a training batch calls in place of `model`."""

    def reducing(self, does: bool) -> AbstractContextManager[None]:
        """The context of a forward pass whose backward pass reduces the gradients, or does not."""

    def end_training(self, state: TrainState) -> None:
        """Give all ranks the buffers of rank 0."""

    def release(self) -> None:
        """End the process group, so that the other ranks fail in it."""

    def close(self, state: TrainState, held: Iterable[nn.Module]) -> None:
        """Leave the model as it was found, and modules that handlers hold, as averages of it."""


class ReplicatedModel:
    """Averages the gradients of all ranks in the backward pass, by DistributedDataParallel.

    Args:
        state: of a fit; all ranks begin with the weights and buffers of rank 0.
        group: the process group of the gradients.
    """

    def __init__(self, state: TrainState, group: DataGroup) -> None:
        self._group = group
        broadcasts = any(True for _ in state.model.buffers())
        always = ("backward", "step")  # a step that one rank does not make parts the weights
        self.collective = ("forward", *always) if broadcasts else always
        self._wrapped: DistributedDataParallel | None = None
        self._trainable: list[bool] = []
        self.update(state)

    def update(self, state: TrainState) -> None:
        """Wrap the model again if other parameters require gradients than before."""
        trainable = [p.requires_grad for p in state.model.parameters()]
        if trainable != self._trainable and any(trainable):
            self._wrapped, self._trainable = None, trainable
            self._wrapped = DistributedDataParallel(state.model, process_group=self._group.group)

    def module(self, model: nn.Module) -> nn.Module:
        """What a training batch calls in place of `model`."""
        return model if self._wrapped is None else self._wrapped

    def reducing(self, does: bool) -> AbstractContextManager[None]:
        """The context of a forward pass whose backward pass reduces the gradients, or does not."""
        if does or self._wrapped is None:
            return nullcontext()
        return self._wrapped.no_sync()

    def end_training(self, state: TrainState) -> None:
        """Give all ranks the buffers of rank 0, as every training batch begins with."""
        equalise(state.model.buffers(), self._group.group)

    def release(self) -> None:
        """End the group; the wrapper holds its connections, also in a cycle of references."""
        self._wrapped = None
        gc.collect()
        self._group.end()

    def close(self, state: TrainState, held: Iterable[nn.Module]) -> None:
        """Take the hooks off the parameters: nothing else refers to the wrapper."""
        self._wrapped = None


def equalise(tensors: Iterable[torch.Tensor], group: dist.ProcessGroup) -> None:
    """Give all ranks the values of rank 0."""
    for tensor in tensors:
        dist.broadcast(tensor.detach(), 0, group=group)


def check_parts(state: TrainState) -> None:
    """Refuse parts of a trainer whose gradients would not be reduced.

    Raises:
        ValueError: names the part.
    """
    if state.models or state.optimizers:
        raise ValueError("the trainer has models or optimizers by name; allowed: one of each")
    refuse_wrapped(state.model)
    loss = state.loss_fn
    if isinstance(loss, nn.Module) and any(p.requires_grad for p in loss.parameters()):
        raise ValueError(
            f"the loss, a {type(loss).__name__}, has parameters that are trained, and only the "
            "model's gradients are reduced; make the loss a part of the model"
        )


def refuse_wrapped(model: nn.Module) -> None:
    """Refuse a model that distributes itself.

    Raises:
        ValueError: names the wrapper.
    """
    wrappers = (DistributedDataParallel, nn.DataParallel)
    found = next((m for m in model.modules() if isinstance(m, wrappers) or _is_sharded(m)), None)
    if found is not None:
        raise ValueError(
            f"the model is wrapped already: it has a {type(found).__name__}; allowed: the plain "
            "model, which is wrapped for the time of a fit"
        )


def _is_sharded(module: nn.Module) -> bool:
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel  # noqa: PLC0415

    return isinstance(module, (FSDPModule, FullyShardedDataParallel))


def count_examples(counts: tuple[int, int], ranks: int, loss: torch.Tensor) -> torch.Tensor:
    """The loss weighted so that the mean over the ranks is the mean over all their examples."""
    mine, everywhere = counts
    if not everywhere or mine * ranks == everywhere:
        return loss
    return loss * (mine * ranks / everywhere)

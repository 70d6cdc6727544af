"""The model as DistributedDataParallel trains it; `state.model` stays the plain one."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, TypeGuard

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ...events import TrainState
from ._collective_waits import CollectiveWaits
from ._first_bucket import FirstBucket
from ._process_group import DataGroup
from ._synchronised_norms import exchanging_in, synchronised_norms

if TYPE_CHECKING:
    from ._control_group import ControlGroup

_CALLERS = (
    *("torch.nn.parallel.distributed", "torch.nn.modules.module"),
    *("torch.nn.modules.batchnorm", "torch.nn.modules._functions"),
    *(CollectiveWaits.__module__, synchronised_norms.__module__),
)
"""The modules of the functions that call the one of the user's model."""


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

    def overlaps(self, state: TrainState) -> bool:
        """Whether the next backward pass asks `may_reduce` before it sends gradients."""

    def follow(self, agreement: ControlGroup) -> None:
        """Ask the votes of this run whether the gradients are wanted, and tell who watches."""

    def begin_backward(self, loss: torch.Tensor) -> None:
        """A backward pass from `loss` begins."""

    def have_gradients(self) -> None:
        """It has computed the gradients, and all ranks have them."""

    def end_backward(self) -> None:
        """It has ended, or has failed."""

    def end_training(self, state: TrainState) -> None:
        """Give all ranks the buffers of rank 0."""

    def release(self) -> None:
        """End the process group, so that the other ranks fail in it."""

    def close(
        self, state: TrainState, held: Iterable[nn.Module], together: bool, refused: bool
    ) -> None:
        """Leave the model as it was found, and modules that handlers hold, as averages of it.

        Args:
            together: whether all ranks call it.
            refused: whether the run has not begun.
        """


class ReplicatedModel:
    """Averages the gradients of all ranks in the backward pass, by DistributedDataParallel.

    Args:
        state: of a fit; all ranks begin with the weights and buffers of rank 0.
        group: the process group of the gradients.
    """

    def __init__(self, state: TrainState, group: DataGroup) -> None:
        self._group = group
        waits = any(True for _ in state.model.buffers()) or synchronised_norms(state.model)
        always = ("backward", "step")  # a step that one rank does not make parts the weights
        self.collective = ("forward", *always) if waits else always
        self._wrapped: DistributedDataParallel | None = None
        self._trainable: list[bool] = []
        self._parameters: list[nn.Parameter] = []
        self._first_bucket: FirstBucket | None = None
        self._reduces = True
        self._agreement: ControlGroup | None = None
        self._waits = CollectiveWaits()
        self.update(state)

    def update(self, state: TrainState) -> None:
        """Wrap the model again if other parameters require gradients than before."""
        self._norms = synchronised_norms(state.model)
        trainable = [p.requires_grad for p in state.model.parameters()]
        if trainable != self._trainable and any(trainable):
            self._let_go()
            self._trainable = trainable
            # a gradient that is a view is not copied out of its bucket
            self._wrapped = DistributedDataParallel(
                state.model, process_group=self._group.group, gradient_as_bucket_view=True
            )
            self._first_bucket = FirstBucket(self._wrapped, self._may_send)
            self._parameters = list(state.model.parameters())

    def module(self, model: nn.Module) -> nn.Module:
        """What a training batch calls in place of `model`."""
        return model if self._wrapped is None else self._wrapped

    def reducing(self, does: bool) -> AbstractContextManager[None]:
        """The context of a forward pass whose backward pass reduces the gradients, or does not."""
        self._reduces = does
        forward = nullcontext() if self._wrapped is None or does else self._wrapped.no_sync()
        exchanging = exchanging_in(self._group, self._norms, forward)
        return self._waits.sending_buffers(self._wrapped, exchanging)

    def overlaps(self, state: TrainState) -> bool:
        """Whether the next backward pass asks `may_reduce` before it sends gradients.

        There must be no gradient that was not taken back by setting it to None.
        """
        first = self._first_bucket
        return (
            first is not None
            and self._reduces
            and first.is_known
            and all(p.grad is None for p in self._parameters)
        )

    def _may_send(self) -> bool:
        return self._agreement is None or self._agreement.ask_run()

    def follow(self, agreement: ControlGroup) -> None:
        """Ask the votes of this run whether the gradients are wanted, and tell who watches."""
        self._agreement = agreement
        self._waits.follow(agreement)

    def begin_backward(self, loss: torch.Tensor) -> None:
        """Tell who watches when this rank waits for the gradients of the others."""
        if self._first_bucket is not None:
            self._first_bucket.begin_pass()
            if self._reduces:
                self._waits.follow_backward(loss)

    def have_gradients(self) -> None:
        """Arrange the buckets after the first pass that reduces."""
        if self._first_bucket is not None and self._reduces:
            self._first_bucket.end_pass()

    def end_backward(self) -> None:
        """Tell who watches that the gradients of all are there, or have failed."""
        if self._first_bucket is not None:
            self._first_bucket.resume()
        self._waits.end()

    def end_training(self, state: TrainState) -> None:
        """Give all ranks the buffers of rank 0, as every training batch begins with."""
        equalise(state.model.buffers(), self._group.group)

    def release(self) -> None:
        """End the group; the wrapper holds its connections, also in a cycle of references."""
        self._let_go()
        gc.collect()
        self._group.end()

    def close(
        self, state: TrainState, held: Iterable[nn.Module], together: bool, refused: bool
    ) -> None:
        """Take the hooks off the parameters: nothing else refers to the wrapper."""
        self._let_go()

    def _let_go(self) -> None:
        if self._first_bucket is not None:
            self._first_bucket.close()
        self._wrapped = self._first_bucket = None


def let_go(error: BaseException) -> None:
    """Clear the frames of `error` that hold a DistributedDataParallel, and so its connections.

    Else the other ranks would wait for this one until the timeout. The frames of the user's model
    keep their locals. So are those of the errors that it was raised from, or while handling.
    """
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or any(one is other for other in seen):
            continue
        seen.append(one)
        waiting += [one.__cause__, one.__context__]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_globals.get("__name__") in _CALLERS:  # reading `f_locals` would keep a copy
                frame.clear()


def clear_gradients(model: nn.Module) -> None:
    """Set all gradients to None."""
    for parameter in model.parameters():
        parameter.grad = None


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
    """Refuse a model that distributes itself, but for a DistributedDataParallel.

    Raises:
        ValueError: names the wrapper.
    """
    inside = model.module.modules() if is_given(model) else model.modules()
    wrappers = (DistributedDataParallel, nn.DataParallel)
    found = next((m for m in inside if isinstance(m, wrappers) or _is_sharded(m)), None)
    if found is not None:
        raise ValueError(
            f"the model is wrapped already: it has a {type(found).__name__}; allowed: the plain "
            "model, which is wrapped for the time of a fit, or a DistributedDataParallel of it"
        )


def is_given(model: nn.Module) -> TypeGuard[DistributedDataParallel]:
    """Whether the model was wrapped by hand, or by accelerate."""
    return isinstance(model, DistributedDataParallel)


def _is_sharded(module: nn.Module) -> bool:
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel  # noqa: PLC0415

    return isinstance(module, (FSDPModule, FullyShardedDataParallel))


def count_examples(counts: tuple[int, int] | None, ranks: int, loss: torch.Tensor) -> torch.Tensor:
    """The loss weighted so that the mean over the ranks is the mean over all their examples.

    Args:
        counts: the examples of this rank and of all; None: every rank has as many.
    """
    mine, everywhere = counts or (0, 0)
    if not everywhere or mine * ranks == everywhere:
        return loss
    return loss * (mine * ranks / everywhere)

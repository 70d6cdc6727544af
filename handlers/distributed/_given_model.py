"""A model that a user, or accelerate, has wrapped in DistributedDataParallel before."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ...events import TrainState
from ._collective_waits import CollectiveWaits
from ._control_group import ControlGroup


class GivenModel:
    """Trains a DistributedDataParallel as it is: with its options, hooks and process group.

    The group is not ended after an error inside a collective pass, as its owner may use it for
    more: the other ranks then wait until its timeout, or until this process ends.
    """

    collective = ("forward", "backward", "step")

    def __init__(self, wrapped: DistributedDataParallel) -> None:
        self._wrapped = wrapped
        self._reduces = True
        self._waits = CollectiveWaits()

    def update(self, state: TrainState) -> None:
        """Do nothing: which parameters are trained was decided where it was wrapped."""

    def module(self, model: nn.Module) -> nn.Module:
        """The wrapper itself."""
        return model

    def reducing(self, does: bool) -> AbstractContextManager[None]:
        """The context of a forward pass whose backward pass reduces the gradients, or does not."""
        self._reduces = does
        forward = nullcontext() if does else self._wrapped.no_sync()
        return self._waits.sending_buffers(self._wrapped, forward)

    def overlaps(self, state: TrainState) -> bool:
        """Never: its communication may have a hook of its owner."""
        return False

    def follow(self, agreement: ControlGroup) -> None:
        """Ask nobody; tell who watches."""
        self._waits.follow(agreement)

    def begin_backward(self, loss: torch.Tensor) -> None:
        """Tell who watches when this rank waits for the gradients of the others."""
        if self._reduces:
            self._waits.follow_backward(loss)

    def have_gradients(self) -> None:
        """Do nothing: how it arranges its buckets is left to it."""

    def end_backward(self) -> None:
        """Tell who watches that the gradients of all are there, or have failed."""
        self._waits.end()

    def end_training(self, state: TrainState) -> None:
        """Its buffers are those of rank 0 when it is called next."""

    def release(self) -> None:
        """Nothing: the group is that of its owner."""

    def close(
        self, state: TrainState, held: Iterable[nn.Module], together: bool, refused: bool
    ) -> None:
        """Do nothing: it is as it was."""

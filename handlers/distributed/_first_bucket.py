"""Asks whether the gradients are wanted, before DistributedDataParallel sends any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .._torch_internals import arrange_buckets, group_of_this_rank, send_to
from ._control_group import end_group


class FirstBucket:
    """Calls `may_send` in a backward pass before the first bucket of gradients is sent.

    A bucket is sent when it has the gradients of all of its parameters. So one parameter of each
    has a hook: that of the bucket which is sent first comes in time, whichever it is. A hook for
    communication would be asked, too, but it takes the place of what sends without Python.

    Args:
        wrapped: made with `gradient_as_bucket_view=True`; all ranks call `end_pass` together.
        may_send: False: this pass sends nothing, and leaves the gradients of this rank alone.

    Attributes:
        is_known: whether the passes from now on ask: the first one does not.
    """

    def __init__(self, wrapped: DistributedDataParallel, may_send: Callable[[], bool]) -> None:
        self._wrapped = wrapped
        self._may_send = may_send
        self._hooks = ExitStack()
        self._is_asked = False
        self._alone: dist.ProcessGroup | None = None
        self.is_known = False

    def begin_pass(self) -> None:
        """A backward pass begins."""
        self._is_asked = False

    def end_pass(self) -> None:
        """A pass that reduces the gradients has ended: they are views of the buckets.

        After the first one the buckets are arranged as the gradients came on rank 0. That is a
        message to all ranks; sent here, where they are together, no forward pass waits for it.
        """
        if self.is_known:
            return
        arrange_buckets(self._wrapped)
        trained = [p for p in self._wrapped.module.parameters() if p.requires_grad]
        self.is_known = all(p.grad is not None for p in trained)
        for parameter in _ends_of_buckets(trained) if self.is_known else ():
            hook: Any = parameter.register_hook  # it has no types
            self._hooks.callback(hook(self._ask).remove)

    def resume(self) -> None:
        """The pass has ended, or has failed: the next one sends again."""
        alone, self._alone = self._alone, None
        if alone is not None:
            send_to(self._wrapped, self._wrapped.process_group)
            end_group(alone)

    def close(self) -> None:
        """Take the hooks off the parameters."""
        self._hooks.close()

    def _ask(self, gradient: torch.Tensor) -> None:
        if self._is_asked:
            return
        self._is_asked = True
        if not self._may_send():  # what the pass leaves is as on a rank that has made it
            self._alone = group_of_this_rank()
            send_to(self._wrapped, self._alone)


def _ends_of_buckets(trained: Iterable[nn.Parameter]) -> Iterable[nn.Parameter]:
    """Of each bucket the last parameter: that its gradient is the last to be computed is likely."""
    ends: dict[int, tuple[int, nn.Parameter]] = {}
    for parameter in trained:
        bucket, place = _place(parameter)
        if bucket not in ends or place > ends[bucket][0]:
            ends[bucket] = place, parameter
    return [parameter for _, parameter in ends.values()]


def _place(parameter: nn.Parameter) -> tuple[int, int]:
    """The bucket, by a number, and the place in it; a sparse gradient has one of its own."""
    gradient = parameter.grad
    if gradient is None or gradient.layout is not torch.strided:
        return id(parameter), 0
    return gradient.untyped_storage().data_ptr(), int(gradient.storage_offset())

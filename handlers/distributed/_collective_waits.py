"""Tells who watches, as a Recorder does, when this rank waits for the others in a collective."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from ...events import Agreement
from ...events.utils.exact_context import exact_context
from .._torch_internals import call_after_backward

_GRADIENTS, _BUFFERS = "gradients", "buffers"


class CollectiveWaits:
    """The waits of one fit; if nobody watches, nothing is hooked."""

    def __init__(self) -> None:
        self._agreement: Agreement | None = None
        self._what = ""
        self._hooks = ExitStack()
        self._backward_hook = ExitStack()
        self._is_hooked = False

    def follow(self, agreement: Agreement) -> None:
        """Tell the watchers of this run."""
        self._agreement = agreement

    @property
    def is_watched(self) -> bool:
        """Whether somebody watches."""
        return self._agreement is not None and bool(self._agreement.collective_watchers)

    @exact_context
    def waiting(self, what: str) -> Iterator[None]:
        """This rank waits in this block."""
        self._begin(what)
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """The open wait has ended, or has failed, if there is one."""
        self._backward_hook.close()
        if self._what and self._agreement is not None:
            for watch in self._agreement.collective_watchers:
                watch(self._what, False)
        self._what = ""

    def follow_backward(self, loss: torch.Tensor) -> None:
        """Tell when the backward pass from `loss` has computed the gradients of this rank.

        After that DistributedDataParallel waits for those of the others; the caller calls `end`.
        """
        if self.is_watched and loss.requires_grad:
            follow: Any = loss.register_hook  # it has no types
            hook = follow(lambda _: call_after_backward(self._begin, _GRADIENTS))
            self._backward_hook.callback(hook.remove)

    def follow_buffers(self, wrapped: DistributedDataParallel | None) -> None:
        """Tell when buffers are sent: in what a wrapper does before it calls its model."""
        if wrapped is None or self._is_hooked or not self.is_watched:
            return
        if any(True for _ in wrapped.module.buffers()):
            begin = wrapped.register_forward_pre_hook(lambda *_: self._begin(_BUFFERS))
            end = wrapped.module.register_forward_pre_hook(lambda *_: self.end(), prepend=True)
            self._hooks.callback(begin.remove)
            self._hooks.callback(end.remove)
            self._is_hooked = True

    def close(self) -> None:
        """Take the hooks off the modules."""
        self._is_hooked = False
        self._hooks.close()

    def _begin(self, what: str) -> None:
        if not self._what and self._agreement is not None:
            self._what = what
            for watch in self._agreement.collective_watchers:
                watch(what, True)

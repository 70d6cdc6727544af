"""Tells who watches, as a Recorder does, when this rank waits for the others in a collective."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
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
        self._asked = 0
        self._is_sent = False

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

    def sending_buffers(
        self, wrapped: DistributedDataParallel | None, forward: AbstractContextManager[None]
    ) -> AbstractContextManager[None]:
        """`forward`, the context of a forward pass, in which it is told when buffers are sent.

        A wrapper does that before it calls its model. Only then the model has a hook: it can be
        pickled and copied at any other time.
        """
        if wrapped is None or not self.is_watched or not self._has_buffers(wrapped):
            return forward
        return self._hooked(wrapped, forward)

    @exact_context
    def _hooked(
        self, wrapped: DistributedDataParallel, forward: AbstractContextManager[None]
    ) -> Iterator[None]:
        begin = wrapped.register_forward_pre_hook(self._begin_buffers)
        try:
            with forward:
                yield
        finally:
            begin.remove()
            self._end_buffers()

    def _has_buffers(self, wrapped: DistributedDataParallel) -> bool:
        """Whether the model has any; asked once, as it may have many modules."""
        if self._asked != id(wrapped):
            self._asked = id(wrapped)
            self._is_sent = any(True for _ in wrapped.module.buffers())
        return self._is_sent

    def _begin_buffers(self, wrapped: DistributedDataParallel, _: object) -> None:
        self._begin(_BUFFERS)
        hook = wrapped.module.register_forward_pre_hook(self._end_buffers, prepend=True)
        self._hooks.callback(hook.remove)

    def _end_buffers(self, *_: object) -> None:
        self._hooks.close()
        self.end()

    def _begin(self, what: str) -> None:
        if not self._what and self._agreement is not None:
            self._what = what
            for watch in self._agreement.collective_watchers:
                watch(what, True)

"""Recomputing activations in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from ...events.utils.exact_context import exact_context
from ..torch_internals import BatchOrInstanceNorm


def recompute_in_backward(
    function: Callable[..., Any], module: torch.nn.Module
) -> Callable[..., Any]:
    """Wrap `function`, which calls `module`, to keep no activations: backward calls it again.

    The second call draws the same random numbers, and does not update running statistics. Without
    gradients there is only the first call.
    """
    norms = [part for part in module.modules() if isinstance(part, BatchOrInstanceNorm)]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _preserve_statistics(norms)

    def call(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(function, *args, use_reentrant=False, **kwargs)

    def call_with_norms(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():  # a compiled graph updates the statistics only once
            return call(*args, **kwargs)
        return checkpoint(function, *args, use_reentrant=False, context_fn=contexts, **kwargs)

    return call_with_norms if norms else call


@exact_context
def _preserve_statistics(norms: list[Any]) -> Iterator[None]:
    before = [(b, b.clone()) for norm in norms for b in norm.buffers(recurse=False)]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.data.copy_(value)  # `data`: autograd, which saved the buffer, must not notice

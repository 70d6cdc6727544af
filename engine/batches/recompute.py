"""Recomputing activations in the backward pass."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils import checkpoint

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
        if torch.compiler.is_compiling():  # a compiled graph updates the statistics only once
            return checkpoint.checkpoint(function, *args, use_reentrant=False, **kwargs)
        with_norms: dict[str, Any] = {"context_fn": contexts} if norms else {}
        try:
            return checkpoint.checkpoint(
                function, *args, use_reentrant=False, **with_norms, **kwargs
            )
        except BaseException as error:
            _end_recording(error)
            raise

    return call


def _end_recording(error: BaseException) -> None:
    """Let torch before 2.13 end what an error has left open: it lives as long as its frame.

    Until then it counts what is computed by others, whose backward pass fails for that.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == checkpoint.__file__:
            frame.clear()


@exact_context
def _preserve_statistics(norms: list[Any]) -> Iterator[None]:
    before = [(b, b.clone()) for norm in norms for b in norm.buffers(recurse=False)]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.data.copy_(value)  # `data`: autograd, which saved the buffer, must not notice

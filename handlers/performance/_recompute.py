"""Computing a second time, in the backward pass, what the forward pass has not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[..., Any], module: torch.nn.Module) -> Callable[..., Any]:
    """`function`, which calls `module`, keeping no activations: backward calls it once more.

    The second time random numbers are those of the first, and running statistics stay as they are.
    Without gradients it is called once, as always.
    """
    norms = [part for part in module.modules() if isinstance(part, _NormBase)]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(norms)

    def plain(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(function, *args, use_reentrant=False, **kwargs)

    def call(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():  # a compiled graph updates its statistics once anyway
            return plain(*args, **kwargs)
        return checkpoint(function, *args, use_reentrant=False, context_fn=contexts, **kwargs)

    return call if norms else plain


@contextmanager
def _statistics_kept(norms: list[Any]) -> Iterator[None]:
    kept = [(b, b.clone()) for norm in norms for b in norm.buffers(recurse=False)]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.data.copy_(value)  # behind the back of autograd, which has saved it

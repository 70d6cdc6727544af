"""A call that is captured as a CUDA graph: its kernels are launched again, without Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ...events.utils.exact_context import exact_context
from ...events.utils.nested import leaves, map_nested

RngKept = Callable[[], AbstractContextManager[None]]

_WARM_UPS = 3
"""Runs before a capture, in which libraries and autograd do what they do once."""


class GraphedCall:
    """Forward pass, loss and gradients of the batches of one shape, captured at the first one.

    The graph reads a batch from memory of its own, and writes its results to memory of its own: a
    batch is copied there, and copies of the results are returned, as the next batch overwrites
    them. The parameters are read where they were, with their values of now.

    Args:
        call: computes them from model, loss function, parameters and batch.
        rng_kept: returns a context at whose end all random number generators are as before.
    """

    def __init__(self, call: Callable[..., Any], rng_kept: RngKept) -> None:
        self._call, self._rng_kept = call, rng_kept
        self._batch: Any = None
        self._baked_in: Any = None
        self._results: Any = None
        self._replay: Callable[[], None] | None = None

    def __call__(self, model: Any, loss_fn: Any, parameters: Any, *batch: Any) -> Any:
        """What `call` returns.

        Raises:
            RuntimeError: it cannot be captured; or a mode or a place in memory has changed since.
        """
        modules = [part for part in (model, loss_fn) if isinstance(part, nn.Module)]
        if self._replay is None:
            self._begin(modules, lambda *own: self._call(model, loss_fn, parameters, *own), batch)
        elif self._baked_in != _baked_in(modules):
            raise RuntimeError(
                "a mode, a context or the place of a weight in memory has changed since it was "
                "captured"
            )
        for own, given in zip(leaves(self._batch, Tensor), leaves(batch, Tensor), strict=True):
            own.copy_(given)
        assert self._replay is not None
        self._replay()
        return map_nested(Tensor.clone, self._results, only=Tensor)

    def _begin(self, modules: list[nn.Module], call: Callable[..., Any], batch: Any) -> None:
        """Capture, and undo what that has changed: random numbers drawn, buffers written."""
        self._batch = map_nested(Tensor.clone, batch, only=Tensor)
        self._baked_in = _baked_in(modules)
        devices = {tensor.device for tensor in leaves(batch, Tensor)}
        with self._rng_kept(), _buffers_kept(modules):
            self._results, self._replay = captured(lambda: call(*self._batch), devices)


def captured(
    compute: Callable[[], Any], devices: set[torch.device]
) -> tuple[Any, Callable[[], None]]:
    """The results of a function, and what computes them again in the same memory.

    After runs on a stream of their own, its kernels are recorded, and do not run.

    Raises:
        RuntimeError: not all of its work is on one CUDA device, or it waits for that.
    """
    if torch.is_autocast_enabled("cuda") and torch.is_autocast_cache_enabled():
        raise RuntimeError("weights that autocast has cast and keeps would not be cast again")
    if len(devices) != 1 or next(iter(devices)).type != "cuda":
        raise RuntimeError("only work on one CUDA device is captured as a graph")
    with torch.cuda.device(*devices):
        before = torch.get_rng_state()
        _warm_up(compute)
        if not torch.equal(before, torch.get_rng_state()):
            raise RuntimeError("it draws random numbers on the CPU, which a graph would repeat")
        graph = torch.cuda.CUDAGraph()
        # by default a thread that pins batches in memory meanwhile would end the capture
        capture = torch.cuda.graph(graph, capture_error_mode="thread_local")
        with _failing_cleanly(graph), capture:
            results = compute()
    return results, graph.replay


@exact_context
def _failing_cleanly(graph: torch.cuda.CUDAGraph) -> Iterator[None]:
    """Leave the stream of a capture that fails, and the generators that it has begun to record.

    `torch.cuda.graph` does not, if the end of the capture raises.
    """
    with torch.cuda.stream(torch.cuda.current_stream()):  # restores it
        try:
            yield
        except BaseException:
            graph.reset()
            raise


def _warm_up(compute: Callable[[], Any]) -> None:
    current, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(current)
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            compute()
    current.wait_stream(side)


def _baked_in(modules: list[nn.Module]) -> Any:
    """What a graph does not read again: modes, contexts, where parameters and buffers are."""
    modes = [part.training for module in modules for part in module.modules()]
    places = [tensor.data_ptr() for module in modules for tensor in _tensors(module)]
    autocast = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    return modes, places, autocast, torch.are_deterministic_algorithms_enabled()


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


@exact_context
def _buffers_kept(modules: list[nn.Module]) -> Iterator[None]:
    """Write the values of now into the buffers of the modules after the block."""
    kept = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)

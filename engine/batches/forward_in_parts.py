"""The forward pass of a batch in parts, of which one at a time keeps its activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...events import TrainState
from ...events.utils.nested import leaves
from .batch_parts import is_splittable, join_parts, split_batch
from .recompute import recompute_in_backward

Activity = Callable[[TrainState], str]


def can_be_split(state: TrainState) -> bool:
    """Whether the inputs of the live batch have more than one example, and can be split."""
    return state.batch_size > 1 and is_splittable(state.xb, state.batch_size)


def input_shapes(state: TrainState) -> str:
    """The shapes of the inputs of the live batch, or their type, for a message."""
    shapes = (str(tuple(tensor.shape)) for tensor in leaves(state.xb, torch.Tensor))
    return " ".join(shapes) or type(state.xb).__name__


def forward_in_parts(forward: Activity, state: TrainState, size: int) -> str:
    """Compute `pred` of the whole batch, `size` examples at a time; backward recomputes them."""
    model, trigger = state.model, ""

    def run(xb: Any, examples: int) -> Any:
        nonlocal trigger
        before = state.model, state.xb, state.pred, state.batch_size
        state.model, state.xb, state.batch_size = model, xb, examples
        try:
            trigger = forward(state)
            return state.pred
        finally:
            state.model, state.xb, state.pred, state.batch_size = before

    run_part = recompute_in_backward(run, model)
    count = state.batch_size
    sizes = [min(size, count - start) for start in range(0, count, size)]
    parts = map(run_part, split_batch(state.xb, count, size), sizes)
    state.pred = join_parts([*parts], sizes)
    return trigger

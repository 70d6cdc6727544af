"""What in a batch is input, target and weight: by convention, or as the user says.

A batch of two tensors needs none of this: `batch.set_batch` takes it apart itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ...events import TrainState
from ...events.utils.nested import SEQUENCES, are_ragged, is_named_tuple, leaves

_ONE_INPUT = (PackedSequence, str, bytes, Number, type(None))


def split_as_said(state: TrainState, batch: Any) -> tuple[Any, Any]:
    """Inputs and targets, as the function says that the user has given; also sets `weight`.

    Raises:
        TypeError: it does not return inputs and targets.
    """
    assert state.split_batch is not None
    parts = state.split_batch(batch)
    if not isinstance(parts, SEQUENCES) or len(parts) not in (2, 3):
        size = f" of {len(parts)}" if isinstance(parts, SEQUENCES) else ""
        name = getattr(state.split_batch, "__name__", type(state.split_batch).__name__)
        raise TypeError(
            f"Trainer(batch={name}) returned a {type(parts).__name__}{size}; expected "
            "(inputs, targets) or (inputs, targets, weight)"
        )
    xb, yb, *weight = parts
    state.weight = weight[0] if weight else None
    return xb, yb


def split_by_convention(batch: Any) -> tuple[Any, Any]:
    """The inputs and targets of a batch that is not a pair."""
    if isinstance(batch, SEQUENCES) and not is_named_tuple(batch):
        if len(batch) == 1:
            return batch[0], None
        return tuple(batch[:-1]), batch[-1] if batch else None
    return batch, None if is_one_input(batch) else batch


def is_one_input(batch: Any) -> bool:
    """Whether a batch can only be an input: a tensor, an array, a packed sequence, a text."""
    return isinstance(batch, _ONE_INPUT) or hasattr(batch, "shape")


def settle_lists(state: TrainState) -> None:
    """Tell lists of examples, which are one input, from lists of inputs, which become a tuple.

    PyTorch's `default_collate` makes a list of several inputs, and a tuple of the strings of one;
    a collate function for images of different sizes makes a list with a tensor for each of them.
    """
    batch = state.batch
    if is_texts(batch):
        state.xb, state.yb = list(batch), None
    elif is_texts(state.xb):
        state.xb = list(state.xb)
    elif type(state.xb) is list and _has_several_inputs(state.xb, state.yb):
        state.xb = tuple(state.xb)


def is_texts(value: Any) -> bool:
    """Whether `value` is a list or tuple of strings only."""
    return (
        isinstance(value, SEQUENCES)
        and len(value) > 0
        and not is_named_tuple(value)
        and all(isinstance(part, str) for part in value)
    )


def _has_several_inputs(parts: list[Any], targets: Any) -> bool:
    """Whether each part is one input for all examples, and not all inputs of one example."""
    tensors = [*leaves(parts, Tensor)]
    sizes = {len(tensor) if tensor.dim() else 0 for tensor in tensors}
    examples = _example_count(targets)
    if len(sizes) != 1 or (examples == len(parts) and are_ragged(tensors)):
        return False
    return examples is None or examples in sizes or examples != len(parts)


def _example_count(targets: Any) -> int | None:
    if isinstance(targets, Tensor):
        return len(targets) if targets.dim() else None
    if isinstance(targets, list) and any(
        isinstance(part, (Mapping, Number, str)) for part in targets
    ):
        return len(targets)
    return None

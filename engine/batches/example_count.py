"""How many examples a batch has: counted where that is certain, otherwise said once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Number
from operator import index
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ...events import TrainState
from ...events.utils.nested import SEQUENCES, children, leaves
from ...events.utils.value_description import describe
from ..torch_internals import first_dimension
from .batch_convention import is_texts

_DECLARED = ("num_graphs", "batch_size")
"""Attributes by which batches of graphs, tensor dicts and others tell their examples."""

_NO_EXAMPLES = (Number, str, bytes, type(None))
"""What has no size; any other object that tells none is unknown."""


def uniform_size(xb: Any, yb: Any) -> int:
    """The size of a tuple or dict of tensors that all have the same; 0 for anything else.

    For speed: it is that of most batches, and needs no look at each part.
    """
    if type(xb) is not tuple and type(xb) is not dict:
        return 0
    try:
        sizes = set(map(first_dimension, xb.values() if type(xb) is dict else xb))
        if yb is not None and yb is not xb:
            sizes.add(first_dimension(yb))
    except TypeError:  # not a tensor
        return 0
    return sizes.pop() if len(sizes) == 1 else 0


def count_examples(state: TrainState) -> int:
    """The examples of the live batch, whose `xb` and `yb` are set.

    As `state.count_examples` says. Without it the number on which inputs and targets agree: of
    tensors and arrays the first dimension, of lists the length, of packed sequences, graphs and
    others what they declare. Where they do not agree it is that of the first input, or the second
    dimension of the input if that agrees (time-major input), and a warning says so once. A batch
    that has no examples, such as None or a number, counts as 1.

    Raises:
        TypeError, ValueError: `state.count_examples` does not return a count.
    """
    if state.count_examples is not None:
        return _checked(state.count_examples, state.count_examples(state.batch))
    targets = None if state.yb is state.xb else state.yb
    size, certain = _agreed(state.xb, targets)
    if not certain and not state.size_doubted:
        state.size_doubted = True
        _warn(state, size)
    return size


def _agreed(xb: Any, yb: Any) -> tuple[int, bool]:
    """The number of examples, and whether it is certain."""
    inputs, targets = _sizes(xb), _sizes(yb)
    if not inputs:
        return (targets[0] if targets else 1), bool(targets) or _is_without_examples(xb)
    if not targets:
        return inputs[0], all(size == inputs[0] for size in inputs)
    for size in inputs:
        if size in targets:
            return size, True
    if isinstance(xb, Tensor) and xb.dim() > 1 and xb.shape[1] in targets:
        return xb.shape[1], False
    return inputs[0], False


def _is_without_examples(value: Any) -> bool:
    return all(isinstance(leaf, _NO_EXAMPLES) or hasattr(leaf, "shape") for leaf in leaves(value))


def _sizes(value: Any) -> list[int]:
    """The numbers of examples that `value` may have, the most likely one first."""
    return [*_array_sizes(value)] or [*_list_sizes(value)]


def _array_sizes(value: Any) -> Iterator[int]:
    """What the tensors, arrays and batch objects in `value` tell, lists left out."""
    if isinstance(value, Tensor):
        if value.dim():
            yield len(value)
    elif (declared := _declared(value)) is not None:
        yield declared
    elif not isinstance(value, list):
        shape = getattr(value, "shape", None)
        if shape is not None:
            yield from map(int, shape[:1])
        else:
            for part in children(value) or ():
                yield from _array_sizes(part)


def _declared(value: Any) -> int | None:
    if isinstance(value, PackedSequence):
        order = value.sorted_indices
        return int(value.batch_sizes[0]) if order is None else len(order)
    if isinstance(value, (str, Number, type(None))) or type(value) in (dict, *SEQUENCES):
        return None
    for name in _DECLARED:
        found = getattr(value, name, None)
        found = found[0] if isinstance(found, tuple) and found else found
        if isinstance(found, int) and not isinstance(found, bool):
            return found
    return None


def _list_sizes(value: Any) -> Iterator[int]:
    """The lengths of the lists in `value`, and, where all parts have one size, that size."""
    if isinstance(value, list) or is_texts(value):
        yield len(value)
        parts = {size for part in leaves(value, Tensor) for size in _array_sizes(part)}
        yield from parts if len(parts) == 1 else ()
    else:
        for part in children(value) or ():
            yield from _list_sizes(part)


def _checked(function: Any, found: Any) -> int:
    name = getattr(function, "__name__", type(function).__name__)
    try:
        size = index(found)
    except TypeError:
        raise TypeError(
            f"Trainer(batch_size={name}) returned a {type(found).__name__}; expected the number of "
            "examples in the batch, an int from 0"
        ) from None
    if size < 0:
        raise ValueError(f"Trainer(batch_size={name}) returned {size}; expected an int from 0")
    return size


def _warn(state: TrainState, size: int) -> None:
    warnings.warn(
        f"it is not certain how many examples the batch has: its input is {describe(state.xb)}, "
        f"its target {describe(state.yb)}; taken: {size}, which weighs it in the mean loss and in "
        "accumulated gradients. Say it with Trainer(batch_size=function): function(batch) returns "
        "the number. This warning is given once",
        stacklevel=2,
    )

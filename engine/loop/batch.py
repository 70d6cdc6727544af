"""What a batch is: how it is moved, split into inputs and targets, and counted.

loader gives                xb              yb      the model is called
(x, y)                      x               y       model(x)
(x1, x2, …, y)              (x1, x2, …)     y       model(x1, x2, …)
(x,)                        x               None    model(x)
{"a": …, "b": …}            the dict        the dict   model(a=…, b=…)
a bare tensor               x               None    model(x)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...events import TrainState
from ...events.nested import SEQUENCES, map_nested

# what `len(tensor)` comes to, without the Python function of torch around it: a quarter of the
# processor's instructions of `tensor.shape[0]`, which every batch would pay for
_first_dimension: Callable[[Any], int] = torch._C.TensorBase.__len__  # type: ignore[attr-defined]


def present(state: TrainState, batch: Any) -> None:
    """Make `batch` the live one: moved, split, counted; `pred` and `loss` are None again."""
    if state.device is not None:
        batch = to_device(batch, state.device)
    state.batch = batch
    state.previous_loss = state.loss
    state.pred = state.loss = None
    if isinstance(batch, SEQUENCES):
        count = len(batch)
        if count == 2:
            xb, yb = batch
        elif count == 1:
            xb, yb = batch[0], None
        else:
            xb, yb = tuple(batch[:-1]), batch[-1]
    else:
        xb = batch
        yb = batch if isinstance(batch, Mapping) else None
    state.xb = xb
    state.yb = yb
    try:
        state.batch_size = _first_dimension(xb) or _examples(xb)  # 0 of one without dimensions
    except TypeError:  # no tensor
        state.batch_size = _examples(xb)


def forget_batch(state: TrainState) -> None:
    """No batch is live: every field of it reads None."""
    state.batch = state.xb = state.yb = state.pred = state.loss = state.previous_loss = None
    state.batch_size = 0


def to_device(value: Any, device: torch.device) -> Any:
    """`value` with every tensor in it moved to `device`, without waiting for the copy."""
    return map_nested(lambda tensor: tensor.to(device, non_blocking=True), value, only=Tensor)


def concatenate(parts: Sequence[Any]) -> Any:
    """Outputs of several batches as one, containers kept: tensors along their first dimension.

    What is no tensor becomes the list of its values.
    """
    return map_nested(_concatenated, *parts)


def _concatenated(*parts: Any) -> Any:
    if isinstance(parts[0], Tensor):
        return torch.cat([part if part.dim() else part.reshape(1) for part in parts])
    return list(parts)


def _examples(xb: Any) -> int:
    """First dimension of the first tensor in `xb`; its length, or 1, where there is none."""
    if isinstance(xb, Mapping):
        return _examples(next(iter(xb.values()), None))
    if isinstance(xb, SEQUENCES):
        return _examples(xb[0]) if xb else 0
    shape = getattr(xb, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 1
    return len(xb) if hasattr(xb, "__len__") else 1

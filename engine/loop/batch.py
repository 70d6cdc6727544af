"""Batches: how a pass over a loader is opened, and how a batch is moved, split and counted.

loader yields               xb              yb      the model is called
(x, y)                      x               y       model(x)
(x1, x2, …, y)              (x1, x2, …)     y       model(x1, x2, …)
(x,)                        x               None    model(x)
{"a": …, "b": …}            the dict        the dict   model(a=…, b=…)
a bare tensor               x               None    model(x)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ...events import TrainState
from ...events.utils.loader_length import loader_length
from ...events.utils.nested import SEQUENCES, map_nested
from ..data.loader_traits import is_one_pass, rng_before_pass, starts_anew
from ..data.pass_opening import open_iterator
from ..torch_internals import first_dimension


def open_pass(state: TrainState, loader: Iterable[Any], limit: int | None = None) -> Iterator[Any]:
    """Start reading `loader`, at most `limit` batches; sets `n_batches` to the expected number."""
    known = loader_length(loader)
    state.pass_begun = rng_before_pass(loader)
    state.n_batches = known if limit is None or (known is not None and known < limit) else limit
    epoch = state.epoch if state.job == "fit" else None
    in_use = state.train_loader if state.paused else None
    batches = open_iterator(loader, epoch, in_use)
    state.batches = batches if limit is None else islice(batches, limit)
    return state.batches


def set_batch(state: TrainState, batch: Any) -> None:
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
        state.batch_size = first_dimension(xb) or _count_examples(xb)  # 0: no dimensions
    except TypeError:  # not a tensor
        state.batch_size = _count_examples(xb)


def clear_batch(state: TrainState) -> None:
    """Set every field of the live batch to None, and its size to 0."""
    state.batch = state.xb = state.yb = state.pred = state.loss = state.previous_loss = None
    state.batch_size = 0


def warn_if_empty(state: TrainState, name: str, loader: Any) -> None:
    """Warn at the end of a pass without a batch, which is most likely a mistake."""
    if state.batch_index >= 0:
        return
    why = "it is an iterator, and exhausted" if is_one_pass(loader) else _why_empty(loader)
    warnings.warn(
        f"{name} ({type(loader).__name__}) gave no batch in epoch {state.epoch}: {why}",
        stacklevel=2,
    )


def to_device(value: Any, device: torch.device) -> Any:
    """Move every tensor in `value` to `device`, without waiting for the copy."""
    return map_nested(lambda tensor: tensor.to(device, non_blocking=True), value, only=Tensor)


def concatenate(parts: Sequence[Any]) -> Any:
    """Join the outputs of several batches, containers kept: tensors along their first dimension.

    A value that is not a tensor becomes the list of its values.
    """
    return map_nested(_concatenate_values, *parts)


def _concatenate_values(*parts: Any) -> Any:
    if isinstance(parts[0], Tensor):
        return torch.cat([part if part.dim() else part.reshape(1) for part in parts])
    return list(parts)


def _count_examples(xb: Any) -> int:
    """First dimension of the first tensor in `xb`; without a tensor its length, or 1."""
    if isinstance(xb, Mapping):
        return _count_examples(next(iter(xb.values()), None))
    if isinstance(xb, SEQUENCES):
        return _count_examples(xb[0]) if xb else 0
    shape = getattr(xb, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 1
    return len(xb) if hasattr(xb, "__len__") else 1


def _why_empty(loader: Any) -> str:
    if getattr(loader, "drop_last", False):
        return "it drops the last incomplete batch (drop_last) and has no complete one"
    if starts_anew(loader):
        return "its __iter__ returns itself, and has not started anew"
    return "it is empty"

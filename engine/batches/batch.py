"""Batches: how a pass over a loader is opened, and how a batch is moved, split and counted.

loader yields               xb              yb      the model is called
(x, y)                      x               y       model(x)
(x1, x2, …, y)              (x1, x2, …)     y       model(x1, x2, …)
((x1, x2), y)               (x1, x2)        y       model(x1, x2)
(x,)                        x               None    model(x)
{"a": …, "b": …}            the dict        the dict   model(a=…, b=…)
a tensor, a PackedSequence  x               None    model(x)
texts: ["…", "…"]           the list        None    model(texts)
a dataclass, another object the object      the object  model(batch)

A list of examples in place of x, such as images of different sizes, is one input. A named tuple is
one input, too; as a batch it is (x, y) if it has two fields, and otherwise like a dataclass.
`Trainer(batch=function)` says it in another way: `function(batch)` returns `(xb, yb)`, or
`(xb, yb, weight)`. Then, too, a tuple `xb` is passed as arguments and a dict as keywords.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ...events import TrainState
from ...events.utils.loader_length import loader_length
from ...events.utils.nested import SEQUENCES
from ..data.loader_traits import is_one_pass, rng_before_pass, starts_anew
from ..data.pass_opening import open_iterator
from ..torch_internals import first_dimension
from .batch_convention import settle_lists, split_as_said, split_by_convention
from .device_transfer import to_device
from .example_count import count_examples, uniform_size


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


def set_batch(state: TrainState, batch: Any) -> int:
    """Make `batch` the live one: moved, split, counted; `pred` and `loss` are None again.

    Returns:
        `batch_size`.
    """
    if state.device is not None:
        batch = to_device(batch, state.device)
    state.batch = batch
    state.previous_loss = state.loss
    state.pred = state.loss = state.weight = None
    if state.split_batch is not None:
        xb, yb = split_as_said(state, batch)
    elif isinstance(batch, SEQUENCES) and len(batch) == 2:
        xb, yb = batch
    else:
        xb, yb = split_by_convention(batch)
    state.xb = xb
    state.yb = yb
    try:
        size = first_dimension(xb)  # 0 for a scalar, too
        if yb is not None and first_dimension(yb) != size:
            size = 0
    except TypeError:  # not a tensor
        size = uniform_size(xb, yb)
        if not size and state.split_batch is None:
            settle_lists(state)
    if not size or state.count_examples is not None:
        size = count_examples(state)
    state.batch_size = size
    return size


def clear_batch(state: TrainState) -> None:
    """Set every field of the live batch to None, and its size to 0."""
    state.batch = state.xb = state.yb = state.pred = state.loss = None
    state.weight = state.previous_loss = None
    state.batch_size = 0


def warn_if_empty(state: TrainState, name: str, loader: Any) -> None:
    """Warn at the end of a pass without a batch, which is most likely a mistake."""
    if state.batch_index >= 0:
        return
    why = "it is an iterator, and exhausted" if is_one_pass(loader) else _why_empty(loader)
    when = f" in epoch {state.epoch + 1}" if state.job == "fit" else ""
    warnings.warn(f"{name} ({type(loader).__name__}) gave no batch{when}: {why}", stacklevel=2)


def _why_empty(loader: Any) -> str:
    if getattr(loader, "drop_last", False):
        return "it drops the last incomplete batch (drop_last) and has no complete one"
    if starts_anew(loader):
        return "its __iter__ returns itself, and has not started anew"
    return "it is empty"

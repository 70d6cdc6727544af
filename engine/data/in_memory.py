"""Datasets that lie in memory as columns: a batch is one index operation for each column."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, StackDataset, Subset, TensorDataset

Reader = Callable[[int, int], Any]
"""Reads a batch: the rows of an order from a start to a stop."""

# torch cannot index tensors of these on the CPU
_NOT_INDEXED = {torch.uint16, torch.uint32, torch.uint64}


class Columns(Dataset[dict[str, Any]]):
    """A dict of columns as a dataset, whose examples are dicts.

    Args:
        columns: tensors or NumPy arrays of the same length, by name.

    Raises:
        ValueError: lengths differ, or one has no dimension.
    """

    def __init__(self, columns: dict[str, Any]) -> None:
        for name, column in columns.items():
            if not column.ndim:
                raise ValueError(
                    f"KeyedLoader(dict of columns): {name!r} is a single value; allowed: tensors "
                    "and arrays with a row for each example"
                )
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ValueError(
                f"KeyedLoader(dict of columns): found lengths {found}; allowed: one length"
            )
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: column[index] for name, column in self.columns.items()}


def with_columns(dataset: Any) -> Any:
    """`dataset`, or `Columns` if it is a dict of tensors and arrays by name."""
    if type(dataset) is not dict or not dataset:
        return dataset
    named = all(isinstance(name, str) for name in dataset)
    if named and all(isinstance(c, Tensor) or _is_array(c) for c in dataset.values()):
        return Columns(dataset)
    return dataset


def column_reader(dataset: Any, order: Tensor | None) -> Reader | None:
    """Reads batches equal to what `default_collate` makes of the examples, in memory of their own.

    None for a dataset that is not known to be columns in memory. It draws no random numbers.

    Args:
        dataset: a tensor or an array; `TensorDataset`, `StackDataset` or `Columns` of such; a
            `Subset` of one of these.
        order: its rows in the order in which they are read, int64; None: as they lie.
    """
    while type(dataset) is Subset:
        rows = _rows_of(dataset)
        if rows is None:
            return None
        order = rows if order is None else rows[order]
        dataset = dataset.dataset
    return _reader(dataset, order)


def _rows_of(subset: Subset[Any]) -> Tensor | None:
    """The rows that a subset chooses, from 0; None if they are no plain sequence of valid rows."""
    indices: Any = subset.indices
    if not (type(indices) in (list, tuple, range, Tensor) or _is_array(indices)):
        return None
    try:
        rows = torch.as_tensor(list(indices) if type(indices) is range else indices)
    except (TypeError, ValueError, RuntimeError):
        return None
    count = len(subset.dataset)  # type: ignore[arg-type]  # every Subset of columns has a length
    if rows.dtype != torch.int64 or rows.dim() != 1 or rows.device.type != "cpu":
        return None
    if len(rows) and (int(rows.min()) < -count or int(rows.max()) >= count):
        return None  # the example that is missing raises when it is read
    return torch.where(rows < 0, rows + count, rows)


def _reader(dataset: Any, order: Tensor | None) -> Reader | None:
    if type(dataset) is Tensor:
        return _tensor_reader(dataset, order) if _is_plain(dataset) else None
    if _is_array(dataset):
        return _array_reader(dataset, order) if _is_numeric(dataset) else None
    if type(dataset) is TensorDataset:
        return _sequence_reader(dataset.tensors, order)
    if type(dataset) is StackDataset:
        stack: Any = dataset.datasets
        return (_dict_reader if type(stack) is dict else _sequence_reader)(stack, order)
    return _dict_reader(dataset.columns, order) if type(dataset) is Columns else None


def _sequence_reader(columns: Any, order: Tensor | None) -> Reader | None:
    readers = [column_reader(column, order) for column in columns]
    known = [reader for reader in readers if reader is not None]
    if len(known) < len(readers):
        return None
    return lambda start, stop: [read(start, stop) for read in known]  # a list, like default_collate


def _dict_reader(columns: dict[str, Any], order: Tensor | None) -> Reader | None:
    readers = {name: column_reader(column, order) for name, column in columns.items()}
    known = {name: reader for name, reader in readers.items() if reader is not None}
    if len(known) < len(readers):
        return None
    return lambda start, stop: {name: read(start, stop) for name, read in known.items()}


def _tensor_reader(tensor: Tensor, order: Tensor | None) -> Reader:
    if order is None:
        return lambda start, stop: tensor[start:stop].clone(memory_format=torch.contiguous_format)
    rows = order.to(tensor.device)  # once a pass, so that no batch is copied to the device
    return lambda start, stop: tensor.index_select(0, rows[start:stop])


def _array_reader(array: Any, order: Tensor | None) -> Reader:
    if order is None:
        return lambda start, stop: torch.as_tensor(array[start:stop].copy(order="C"))
    rows = order.numpy()
    return lambda start, stop: torch.as_tensor(array.take(rows[start:stop], axis=0))


def _is_plain(tensor: Tensor) -> bool:
    """Whether indexing gives what stacking gives: not so for a layout, a history, a lazy view."""
    return (
        tensor.layout is torch.strided
        and tensor.dim() > 0
        and not (tensor.is_nested or tensor.is_quantized or tensor.requires_grad)
        and not (tensor.is_conj() or tensor.is_neg())
        and tensor.dtype not in _NOT_INDEXED
    )


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) in (numpy.ndarray, numpy.memmap)


def _is_numeric(array: Any) -> bool:
    """Whether torch has a tensor for a batch of an array's rows."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    small = size <= (16 if kind == "c" else 8) and (kind, size) != ("u", 8)
    return bool(array.ndim and array.dtype.isnative and kind in "biufc" and small)

"""Columns that are kept on a device, and indexed there: no batch is copied to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...events.utils.log import log
from ...events.utils.nested import leaves, map_nested
from ..order.batch_order import BatchOrder
from .in_memory import column_reader

_SHARE = 0.5  # of the free memory of the device; the model and its activations need the rest


class ResidentColumns:
    """The columns of a dataset on a device.

    Args:
        columns: tensors of all examples, in the containers of a batch.
    """

    def __init__(self, columns: Any, device: torch.device) -> None:
        self.columns = columns
        self.device = device

    def batches(self, order: BatchOrder, epoch: int, first: int) -> Iterator[Any]:
        """The batches of an epoch from `first` on."""
        rows = order.permutation(epoch)
        if rows is None:
            rows = torch.arange(len(order.dataset))
        rows = rows.to(self.device)  # once a pass
        for start, stop in order.bounds(epoch, first):
            yield self._batch(rows[start:stop])

    def _batch(self, rows: Tensor) -> Any:
        return map_nested(lambda column: column.index_select(0, rows), self.columns, only=Tensor)


def resident_columns(dataset: Any, device: torch.device) -> ResidentColumns | None:
    """The columns of `dataset` on `device`; None if it has none in memory, or they do not fit."""
    read = column_reader(dataset, None)
    if read is None or not len(dataset):
        return None
    columns = read(0, len(dataset))
    size, free = sum(column.nbytes for column in leaves(columns, only=Tensor)), _free(device)
    if free is not None and size > free * _SHARE:
        log.warning(
            "KeyedLoader(device=%s): %d bytes of data, %d free on the device; batches are copied",
            *(device, size, free),
        )
        return None
    return ResidentColumns(map_nested(lambda t: t.to(device), columns, only=Tensor), device)


def _free(device: torch.device) -> int | None:
    """Free bytes of a device; None if it does not tell."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None

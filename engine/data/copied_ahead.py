"""Copies the next batch to a device while the step of this one runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from ...events import Cancel
from ...events.utils.nested import leaves, map_nested
from ..order.skipping import Reduced


class _Copier(Protocol):
    def start(self, batch: Any) -> Any: ...

    def finish(self, batch: Any) -> Any: ...


def copied_ahead(batches: Iterator[Any], device: torch.device) -> Iterator[Any]:
    """The batches on `device`; each is read, and its copy begun, before the one before is used.

    What `batches` raises is raised in its place, after the batch before.
    """
    copier: _Copier = _CudaCopier(device) if device.type == "cuda" else _PlainCopier(device)
    waiting: list[Any] = []
    raised: BaseException | None = None
    while True:
        try:
            following = [copier.start(next(batches))]
        except StopIteration:
            following = []
        except (Exception, Cancel) as error:
            following, raised = [], error
        if waiting:
            yield copier.finish(waiting[0])
        if raised is not None:
            raise raised
        if not following:
            return
        waiting = following


class _PlainCopier:
    """Copies at once."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self, batch: Any) -> Any:
        return self.moved(batch)

    def moved(self, batch: Any) -> Any:
        """The batch with its tensors on the device; a reduced one stays what it is."""
        if type(batch) is Reduced:
            return batch._replace(batch=self.moved(batch.batch))
        return map_nested(self.copied, batch, only=Tensor)

    def copied(self, tensor: Tensor) -> Tensor:
        """The tensor on the device."""
        return tensor.to(self.device)

    def finish(self, batch: Any) -> Any:
        return batch


class _CudaCopier(_PlainCopier):
    """Copies from pinned memory on a stream of its own; the stream of the step waits for it."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def start(self, batch: Any) -> tuple[Any, torch.cuda.Event]:
        with torch.cuda.stream(self.stream):
            return self.moved(batch), self.stream.record_event()

    def copied(self, tensor: Tensor) -> Tensor:
        """The tensor on the device, as soon as the stream has done what was asked of it."""
        source = tensor if tensor.is_cuda or tensor.is_pinned() else tensor.pin_memory()
        return source.to(self.device, non_blocking=True)

    def finish(self, batch: Any) -> Any:
        copied, event = batch
        current = torch.cuda.current_stream(self.device)
        current.wait_event(event)
        for tensor in leaves(copied, only=Tensor):
            tensor.record_stream(current)  # its memory is not used again before the step is done
        return copied

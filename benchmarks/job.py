"""The input of a contender: a model, its batches, and helpers for the equipped setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import process_time
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, StepLR
from torch.utils.data import DataLoader, IterableDataset
from works import Batch, Work

MAX_NORM = 1.0


class Bare:
    """The hand-written training loop, with a model of its own."""

    def __init__(self, work: Work) -> None:
        torch.manual_seed(0)
        self.model = work.model()
        self.optimizer = work.optimizer(self.model)
        self.loss_fn = nn.CrossEntropyLoss()

    def run(self, data: Iterable[Batch]) -> None:
        model, loss_fn, optimizer = self.model, self.loss_fn, self.optimizer
        for xb, yb in data:
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


class Paired:
    """Yield the batches once; beside each stretch of batches, the bare loop runs the same stretch.

    Both halves of a pair run in one process, one right after the other, so that the load of the
    machine is similar. Which is first alternates: the second finds the data in the cache. The clock
    is the CPU time of the process, which excludes other processes.
    """

    def __init__(self, data: list[Batch], stretch: int, bare: Bare) -> None:
        self.stretches = [data[n : n + stretch] for n in range(0, len(data), stretch)]
        self.bare = bare
        self.us_a_batch: list[tuple[float, ...]] = []

    def __len__(self) -> int:
        return sum(map(len, self.stretches))

    def __iter__(self) -> Iterator[Batch]:
        for stretch in self.stretches:
            bare_is_first = len(self.us_a_batch) % 2 == 0
            bare = self._bare_seconds(stretch) if bare_is_first else 0.0
            start = process_time()
            yield from stretch
            own = process_time() - start
            if not bare_is_first:
                bare = self._bare_seconds(stretch)
            self.us_a_batch.append(tuple(s / len(stretch) * 1e6 for s in (own, bare)))

    def _bare_seconds(self, stretch: list[Batch]) -> float:
        start = process_time()
        self.bare.run(stretch)
        return process_time() - start


class _Stream(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, batches: Paired) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class Job:
    """One fit of one contender."""

    max_norm = MAX_NORM

    def __init__(self, work: Work, batches: Paired) -> None:
        own = Bare(work)
        self.model, self.optimizer, self.loss_fn = own.model, own.optimizer, own.loss_fn
        self.batches = batches
        self.begun = self.ended = 0

    @property
    def loader(self) -> DataLoader[Any]:
        """The batches as a DataLoader, for contenders that require one."""
        return DataLoader(_Stream(self.batches), batch_size=None)

    @staticmethod
    def schedule(optimizer: torch.optim.Optimizer) -> LRScheduler:
        return StepLR(optimizer, step_size=100, gamma=0.99)

    def begin_batch(self) -> None:
        """The user's callback before each batch."""
        self.begun += 1

    def end_batch(self) -> None:
        """The user's callback after each batch."""
        self.ended += 1


def right(pred: torch.Tensor, yb: torch.Tensor) -> torch.Tensor:
    """The number of correct predictions in a batch, as a tensor on the device."""
    return (pred.argmax(1) == yb).sum()

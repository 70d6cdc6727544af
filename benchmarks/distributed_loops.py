"""The training loops that `distributed.py` compares, each in pairs with the loop by hand."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from trackside import Distributed, Trainer

STRETCH = 5
"""The batches of each half of a pair."""


class Times(NamedTuple):
    """Microseconds a batch, of one process with all its threads."""

    wall: float
    processor: float


Pair: TypeAlias = tuple[Times, Times]
"""The times of a contender, then of the loop by hand."""

Loader: TypeAlias = DataLoader[tuple[torch.Tensor, ...]]
Contender: TypeAlias = Callable[["Pairs"], object]
"""Trains for a pass, in which it calls `begin_train` and `after_batch`."""


def parts(width: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model and its optimizer, the same at each call."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    return model, torch.optim.SGD(model.parameters(), lr=0.01)


class ByHand:
    """The loop with DistributedDataParallel, written by hand, with its options as they come."""

    def __init__(self, width: int, loader: Loader, **options: bool) -> None:
        plain, self.optimizer = parts(width)
        self.model, self.loss_fn = DistributedDataParallel(plain, **options), nn.MSELoss()
        self.loader = loader

    def run(self, batches: Iterator[Any]) -> None:
        model, loss_fn, optimizer = self.model, self.loss_fn, self.optimizer
        for xb, yb in batches:
            loss_fn(model(xb), yb).backward()
            optimizer.step()
            optimizer.zero_grad()

    def __call__(self, pairs: Pairs) -> None:
        """Be a contender: beside itself, what the pairs show is their noise."""
        pairs.begin_train()
        batches = iter(self.loader)
        for _ in range(len(self.loader) // STRETCH):
            self.run(islice(batches, STRETCH))
            pairs.end_stretch()


class Pairs:
    """After each stretch of a contender the loop by hand runs as many batches; a handler, too.

    Both halves of a pair run in the same processes, one right after the other, so that the load of
    the machine is similar. The first stretch of a pass, in which a model is wrapped, counts not.
    """

    on_error = "detach"  # so that no vote follows

    def __init__(self, by_hand: ByHand) -> None:
        self.by_hand = by_hand
        self.found: list[Pair] = []

    def begin_train(self, *_: object) -> None:
        """Begin a pass."""
        self._batches = iter(self.by_hand.loader)
        self._count, self._is_first = 0, True
        self._began = _now()

    def after_batch(self, *_: object) -> None:
        """Count a batch."""
        self._count += 1
        if self._count == STRETCH:
            self._count = 0
            self.end_stretch()

    def end_stretch(self) -> None:
        """Run the loop by hand, and keep the times of both."""
        middle = _now()
        self.by_hand.run(islice(self._batches, STRETCH))
        pair = _between(self._began, middle), _between(middle, _now())
        self.found += [] if self._is_first else [pair]
        self._is_first = False
        self._began = _now()


def _now() -> Times:
    return Times(time.perf_counter(), time.process_time())


def _between(begin: Times, end: Times) -> Times:
    return Times(*(1e6 * (e - b) / STRETCH for b, e in zip(begin, end, strict=True)))


def by_trainer(width: int, loader: Loader, *handlers: object) -> Contender:
    """A trainer with `Distributed`, which shards the loader."""
    model, optimizer = parts(width)
    trainer = Trainer(model, nn.MSELoss(), optimizer, [*handlers, Distributed()])

    def train(pairs: Pairs) -> None:
        with trainer.attach(pairs):
            trainer.fit(loader)

    return train


def peers(width: int, loader: Loader) -> dict[str, Contender]:
    """Those that are installed."""
    found: dict[str, Contender] = {}
    if importlib.util.find_spec("accelerate"):
        found["accelerate"] = _by_accelerate(width, loader, agrees=False)
        found["accelerate with check_trigger"] = _by_accelerate(width, loader, agrees=True)
    if importlib.util.find_spec("lightning"):
        found["lightning"] = _by_lightning(width, loader)
    return found


def _by_accelerate(width: int, loader: Loader, agrees: bool) -> Contender:
    from accelerate import Accelerator  # noqa: PLC0415

    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(*parts(width))
    loss_fn = nn.MSELoss()

    def train(pairs: Pairs) -> None:
        pairs.begin_train()
        for xb, yb in loader:
            if agrees and accelerator.check_trigger():
                break
            accelerator.backward(loss_fn(model(xb), yb))
            optimizer.step()
            optimizer.zero_grad()
            pairs.after_batch()

    return train


def _by_lightning(width: int, loader: Loader) -> Contender:
    from lightning.pytorch import Callback, LightningModule  # noqa: PLC0415
    from lightning.pytorch import Trainer as Lightning  # noqa: PLC0415

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    plain, optimizer = parts(width)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = plain

        def training_step(self, batch: Any, _: int) -> Any:
            return nn.functional.mse_loss(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return optimizer

    module = Module()

    def train(pairs: Pairs) -> None:
        class Pass(Callback):
            on_train_epoch_start = staticmethod(pairs.begin_train)
            on_train_batch_end = staticmethod(pairs.after_batch)

        off = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
        off |= dict.fromkeys(("enable_progress_bar", "use_distributed_sampler"), False)
        both: dict[str, Any] = {"devices": 2, "strategy": "ddp", "callbacks": [Pass()]}
        Lightning(max_epochs=1, accelerator="cpu", **both, **off).fit(module, loader)

    return train

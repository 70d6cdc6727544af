"""The training loops that `distributed.py` compares, each with its times of a pass."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from trackside import Distributed, Trainer

PASSES = 2
"""Training passes of a fit, of which the last is measured: the first wraps the model."""


class Times(NamedTuple):
    """Microseconds a batch."""

    wall: float
    processor: float


Train = Callable[[], Times]
Loader: TypeAlias = DataLoader[tuple[torch.Tensor, ...]]


def _parts(width: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    return model, torch.optim.SGD(model.parameters(), lr=0.01)


class Clock:
    """Measures a training pass of a number of batches; a handler, too."""

    on_error = "detach"  # so that no vote follows

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self._began = self._ended = 0.0, 0.0

    def begin_train(self, *_: object) -> None:
        self._began = _now()

    def after_train(self, *_: object) -> None:
        self._ended = _now()

    def times(self) -> Times:
        spent = (end - begin for begin, end in zip(self._began, self._ended, strict=True))
        return Times(*(1e6 * seconds / self.batches for seconds in spent))


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def timed(train: Callable[[], object], batches: int) -> Train:
    """`train`, which is a training pass."""

    def measured() -> Times:
        clock = Clock(batches)
        clock.begin_train()
        train()
        clock.after_train()
        return clock.times()

    return measured


def by_hand(width: int, loader: Loader) -> Train:
    plain, optimizer = _parts(width)
    wrapped, loss_fn = DistributedDataParallel(plain), nn.MSELoss()

    def train() -> None:
        for xb, yb in loader:
            loss_fn(wrapped(xb), yb).backward()
            optimizer.step()
            optimizer.zero_grad()

    return timed(train, len(loader))


def by_trainer(width: int, loader: Loader, *handlers: object) -> Train:
    model, optimizer = _parts(width)
    clock = Clock(len(loader) // dist.get_world_size())  # it is shared out in the fit
    trainer = Trainer(model, nn.MSELoss(), optimizer, [*handlers, Distributed(), clock])

    def train() -> Times:
        trainer.fit(loader, epochs=PASSES)
        return clock.times()

    return train


def peers(width: int, loader: Loader) -> dict[str, Train]:
    """Those that are installed."""
    found: dict[str, Train] = {}
    if importlib.util.find_spec("accelerate"):
        found["accelerate"] = _by_accelerate(width, loader, agrees=False)
        found["accelerate with check_trigger"] = _by_accelerate(width, loader, agrees=True)
    if importlib.util.find_spec("lightning"):
        found["lightning"] = _by_lightning(width, loader)
    return found


def _by_accelerate(width: int, loader: Loader, agrees: bool) -> Train:
    from accelerate import Accelerator  # noqa: PLC0415

    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(*_parts(width))
    loss_fn = nn.MSELoss()

    def train() -> None:
        for xb, yb in loader:
            if agrees and accelerator.check_trigger():
                break
            accelerator.backward(loss_fn(model(xb), yb))
            optimizer.step()
            optimizer.zero_grad()

    return timed(train, len(loader))


def _by_lightning(width: int, loader: Loader) -> Train:
    from lightning.pytorch import Callback, LightningModule  # noqa: PLC0415
    from lightning.pytorch import Trainer as Lightning  # noqa: PLC0415

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    plain, optimizer = _parts(width)
    clock = Clock(len(loader))

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = plain

        def training_step(self, batch: Any, _: int) -> Any:
            return nn.functional.mse_loss(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return optimizer

    class Pass(Callback):
        on_train_epoch_start = staticmethod(clock.begin_train)
        on_train_epoch_end = staticmethod(clock.after_train)

    module = Module()

    def train() -> Times:
        off = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
        off |= dict.fromkeys(("enable_progress_bar", "use_distributed_sampler"), False)
        both: dict[str, Any] = {"devices": 2, "strategy": "ddp", "callbacks": [Pass()]}
        Lightning(max_epochs=PASSES, accelerator="cpu", **both, **off).fit(module, loader)
        return clock.times()

    return train

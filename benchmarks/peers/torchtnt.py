"""torchtnt: a TrainUnit with the body of the loop; AutoUnit requires devices and processes."""

from typing import Any

from job import Job
from torchtnt.framework.state import State
from torchtnt.framework.train import train
from torchtnt.framework.unit import TrainUnit

REQUIRES = ("torchtnt==0.2.4", "setuptools==80.9.0")  # the last with pkg_resources


class Unit(TrainUnit[Any]):
    def __init__(self, job: Job) -> None:
        super().__init__()
        self.model, self.optimizer, self.loss_fn = job.model, job.optimizer, job.loss_fn

    def train_step(self, state: State, data: Any) -> None:
        xb, yb = data
        loss = self.loss_fn(self.model(xb), yb)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def bare(job: Job) -> None:
    train(Unit(job), job.batches, max_epochs=1)


def equipped(job: Job) -> None:
    import torch
    from job import right
    from torchtnt.framework.callback import Callback
    from torchtnt.framework.callbacks import TQDMProgressBar

    class Equipped(Unit):
        def __init__(self, job: Job) -> None:
            super().__init__(job)
            self.schedule = job.schedule(job.optimizer)
            self.total, self.correct, self.seen = torch.zeros(()), torch.zeros(()), 0

        def train_step(self, state: State, data: Any) -> None:
            xb, yb = data
            pred = self.model(xb)
            loss = self.loss_fn(pred, yb)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), job.max_norm)
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
            self.total += loss.detach() * len(yb)
            self.correct += right(pred, yb)
            self.seen += len(yb)

    class Callbacks(Callback):
        def on_train_step_start(self, state: State, unit: Any) -> None:
            job.begin_batch()

        def on_train_step_end(self, state: State, unit: Any) -> None:
            job.end_batch()

    train(Equipped(job), job.batches, max_epochs=1, callbacks=[TQDMProgressBar(), Callbacks()])

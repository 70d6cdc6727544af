"""This library."""

from typing import Any

import torch
from job import Job, right

from trackside.engine import KeyedLoader, Trainer

Trainer.verbose = False  # a bar takes time

REQUIRES = ("blinker==1.9.0", "safetensors>=0.5", "tqdm==4.67.1", "transitions==0.9.3")


def bare(job: Job) -> None:
    Trainer(job.model, job.loss_fn, job.optimizer).fit(job.batches)


def epoch(job: Any) -> None:
    loader = KeyedLoader(job.dataset, job.batch_size, shuffle=True, num_workers=job.workers)
    Trainer(job.model, job.loss_fn, job.optimizer).fit(loader)


class Accuracy:
    """A metric written by the user."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.correct, self.seen = torch.zeros((), dtype=torch.long), 0

    def update(self, pred: torch.Tensor, yb: torch.Tensor) -> None:
        self.correct += right(pred, yb)
        self.seen += len(yb)

    def compute(self) -> torch.Tensor:
        return self.correct / self.seen


def equipped(job: Job) -> None:
    from trackside.handlers import GradientClip, LRSchedule, Metrics, ProgressBar

    trainer = Trainer(
        job.model,
        job.loss_fn,
        job.optimizer,
        handlers=[
            Metrics(accuracy=Accuracy()),
            ProgressBar(),
            GradientClip(job.max_norm),
            LRSchedule(job.schedule),
        ],
    )
    trainer.on("begin_batch")(lambda trainer, state: job.begin_batch())
    trainer.on("after_batch")(lambda trainer, state: job.end_batch())
    trainer.fit(job.batches)

"""pytorch-ignite: a plain Engine, then its supervised trainer with handlers.

It has no handler for gradient clipping; a hook of the optimizer does that.
"""

from typing import Any

import torch
from ignite.engine import Engine, Events, create_supervised_trainer
from job import Job

REQUIRES = ("pytorch-ignite==0.5.5", "tqdm==4.67.1")


def bare(job: Job) -> None:
    model, loss_fn, optimizer = job.model, job.loss_fn, job.optimizer

    def update(engine: Engine, batch: Any) -> None:
        xb, yb = batch
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    Engine(update).run(job.batches, max_epochs=1)


def equipped(job: Job) -> None:
    from ignite.handlers import ProgressBar
    from ignite.metrics import Accuracy, RunningAverage

    model, optimizer = job.model, job.optimizer
    schedule = job.schedule(optimizer)

    def clip(*_: Any) -> None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), job.max_norm)

    trainer = create_supervised_trainer(
        model, optimizer, job.loss_fn, output_transform=lambda x, y, pred, loss: (pred, y, loss)
    )
    RunningAverage(output_transform=lambda output: output[2].item()).attach(trainer, "loss")
    Accuracy(output_transform=lambda output: output[:2]).attach(trainer, "accuracy")
    ProgressBar().attach(trainer, ["loss"])
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda engine: job.begin_batch())
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: job.end_batch())
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: schedule.step())
    optimizer.register_step_pre_hook(clip)
    trainer.run(job.batches, max_epochs=1)

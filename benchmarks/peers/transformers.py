"""The Trainer of transformers; it requires a DataLoader, and a model that returns the loss."""

import tempfile
from typing import Any

from job import Job, right
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

REQUIRES = ("transformers==5.23.0", "accelerate==1.15.0")


class WithLoss(nn.Module):
    def __init__(self, job: Job) -> None:
        super().__init__()
        self.model, self.loss_fn = job.model, job.loss_fn

    def forward(self, xb: Any, labels: Any) -> Any:
        pred = self.model(xb)
        return {"loss": self.loss_fn(pred, labels), "pred": pred}


class Served(Trainer):
    job: Job

    def get_train_dataloader(self) -> Any:
        stream = self.job.loader.dataset
        return self.accelerator.prepare(DataLoader(stream, batch_size=None, collate_fn=_named))


def _named(batch: Any) -> dict[str, Any]:
    return dict(zip(("xb", "labels"), batch, strict=True))


def _train(job: Job, model: nn.Module, callbacks: list[Any], schedule: Any, **options: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=1,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            lr_scheduler_type="constant",
            **options,
        )
        trainer = Served(
            model, arguments, callbacks=callbacks, optimizers=(job.optimizer, schedule)
        )
        trainer.job = job
        trainer.train()


def bare(job: Job) -> None:
    options = {"logging_strategy": "no", "disable_tqdm": True, "max_grad_norm": 0.0}
    _train(job, WithLoss(job), [], None, **options)


class Callbacks(TrainerCallback):
    def __init__(self, job: Job) -> None:
        self.job = job

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.job.begin_batch()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.job.end_batch()


def equipped(job: Job) -> None:
    import torch

    class Scored(WithLoss):
        """The trainer computes no training accuracy; the user's model does."""

        correct, seen = torch.zeros((), dtype=torch.long), 0

        def forward(self, xb: Any, labels: Any) -> Any:
            found = super().forward(xb, labels)
            self.correct += right(found["pred"], labels)
            self.seen += len(labels)
            return found

    options = {"logging_steps": 50, "disable_tqdm": False, "max_grad_norm": job.max_norm}
    _train(job, Scored(job), [Callbacks(job)], job.schedule(job.optimizer), **options)

"""The hand-written loops with which the contenders are compared."""

from typing import Any

import torch
from job import Job, right

REQUIRES = ("tqdm==4.67.1", "scikit-learn==1.9.1")


def bare(job: Job) -> None:
    model, loss_fn, optimizer = job.model, job.loss_fn, job.optimizer
    for xb, yb in job.batches:
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def equipped(job: Job) -> None:
    from tqdm import tqdm

    model, loss_fn, optimizer = job.model, job.loss_fn, job.optimizer
    parameters = list(model.parameters())
    schedule = job.schedule(optimizer)
    total, correct, seen = torch.zeros(()), torch.zeros((), dtype=torch.long), 0

    def shown() -> dict[str, Any]:
        return {"loss": (total / seen).item(), "accuracy": (correct / seen).item()}

    with tqdm(job.batches) as bar:
        for number, (xb, yb) in enumerate(bar, 1):
            job.begin_batch()
            pred = model(xb)
            loss = loss_fn(pred, yb)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, job.max_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.detach() * len(yb)
            correct += right(pred, yb)
            seen += len(yb)
            if number % 50 == 0:
                bar.set_postfix(shown(), refresh=False)
            job.end_batch()

"""accelerate: a loop of the user; accelerate prepares model, optimizer and loader."""

from accelerate import Accelerator
from job import Job

REQUIRES = ("accelerate==1.15.0",)


def bare(job: Job) -> None:
    accelerator = Accelerator(cpu=True)
    model, optimizer, batches = accelerator.prepare(job.model, job.optimizer, job.loader)
    loss_fn = job.loss_fn
    for xb, yb in batches:
        loss = loss_fn(model(xb), yb)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()


def equipped(job: Job) -> None:
    import torch
    from job import right
    from tqdm import tqdm

    accelerator = Accelerator(cpu=True)
    model, optimizer, batches, schedule = accelerator.prepare(
        job.model, job.optimizer, job.loader, job.schedule(job.optimizer)
    )
    total, correct, seen = torch.zeros(()), torch.zeros((), dtype=torch.long), 0
    with tqdm(batches) as bar:
        for number, (xb, yb) in enumerate(bar, 1):
            job.begin_batch()
            pred = model(xb)
            loss = job.loss_fn(pred, yb)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), job.max_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.detach() * len(yb)
            correct += right(pred, yb)
            seen += len(yb)
            if number % 50 == 0:
                shown = {"loss": (total / seen).item(), "accuracy": (correct / seen).item()}
                bar.set_postfix(shown, refresh=False)
            job.end_batch()

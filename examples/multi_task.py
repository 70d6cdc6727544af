"""Train one network for two tasks on scikit-learn's digits, two batches to one.

    trackside fit examples/multi_task.py:job
    python examples/multi_task.py

Each task has a loader, and an update of its own in the chart, which can be cancelled by itself:
`run.cancel("count")`. The epoch ends with the first loader that is exhausted; then each task is
validated on a set of its own, `digit_loss` and `count_loss`.
"""

from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset, random_split

from trackside import Job, Metrics, Trainer, TrainState
from trackside.engine import SUPERVISED, update

TURNS = ("digit", "digit", "count")
CHART = SUPERVISED.replace("train.batch", update("digit"), update("count"))


class ByTurns:
    """Yields batches `(inputs, task, targets)` of several loaders, until one is exhausted."""

    def __init__(self, **loaders: Iterable[Any]) -> None:
        self.loaders = loaders

    def __iter__(self) -> Iterator[tuple[Tensor, str, Tensor]]:
        batches = {task: iter(loader) for task, loader in self.loaders.items()}
        for task in cycle(task for task in TURNS if task in batches):
            batch = next(batches[task], None)
            if batch is None:
                return
            yield batch[0], task, batch[1]


class Network(nn.Module):
    """Says of images `(B, 64)` which digit it is, `(B, 10)`, or how many pixels are set, `(B,)`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.heads = nn.ModuleDict({"digit": nn.Linear(64, 10), "count": nn.Linear(64, 1)})

    def forward(self, images: Tensor, task: str) -> Tensor:
        pred: Tensor = self.heads[task](self.body(images))
        return pred.squeeze(1)


def loss_of(pred: Tensor, target: Tensor) -> Tensor:
    """The loss of a task: its targets are classes or numbers."""
    return mse_loss(pred, target) if target.is_floating_point() else cross_entropy(pred, target)


def begin_task(state: TrainState) -> str:
    """Begin the update of the task of this batch."""
    return f"begin_{state.xb[1]}"


def end_batch(state: TrainState) -> str:
    """End the batch after the update of its task."""
    return "after_batch"


def digits() -> tuple[ByTurns, dict[str, ByTurns]]:
    """The images with their digits, and with their counts; four fifths, and the rest by task."""
    images, classes = map(torch.tensor, load_digits(return_X_y=True))
    counts = (images > 0).float().mean(1)
    tasks = [TensorDataset(images.float() / 16, targets) for targets in (classes, counts)]
    sizes = 1437, 360
    (train, valid), (train_2, valid_2) = (random_split(task, sizes) for task in tasks)
    return (
        ByTurns(
            digit=DataLoader(train, 32, shuffle=True), count=DataLoader(train_2, 32, shuffle=True)
        ),
        {
            "digit": ByTurns(digit=DataLoader(valid, 60)),
            "count": ByTurns(count=DataLoader(valid_2, 120)),
        },
    )


def job() -> Job:
    """A network with two heads, and the batches of both tasks."""
    torch.manual_seed(0)
    train, valid = digits()
    model = Network()
    trainer = Trainer(
        model,
        loss_of,
        torch.optim.Adam(model.parameters(), lr=2e-3),
        [Metrics()],
        chart=CHART,
        activities={"batch.ready": begin_task, "digit_done": end_batch, "count_done": end_batch},
    )
    return Job(trainer, train, valid, epochs=8)


if __name__ == "__main__":
    todo = job()
    print(todo.trainer.fit(todo.train_loader, todo.valid_loader, todo.epochs).metrics)

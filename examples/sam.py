"""Sharpness-aware minimization on scikit-learn's digits: two passes over each batch.

    trackside fit examples/sam.py:job
    python examples/sam.py

A batch is two updates. The step of the first moves the weights uphill; the step of the second moves
them back, and descends along the gradient that was found there.
Source: Pierre Foret and others, "Sharpness-Aware Minimization", 2021
"""

from dataclasses import dataclass, field

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.utils.data import DataLoader, TensorDataset, random_split

from trackside import Job, Metrics, Trainer, TrainState
from trackside.engine import SUPERVISED, update
from trackside.events import OwnName, TrainerProtocol

RADIUS = 0.05

Loader = DataLoader[tuple[Tensor, ...]]

CHART = SUPERVISED.replace("train.batch", update("climb"), update("descend"))


@dataclass(slots=True, eq=False, repr=False)
class SAMState(TrainState):
    """Also has the weights from which the climb started; none where they are the model's."""

    start: list[Tensor] = field(default_factory=list)


@torch.no_grad()
def climb(state: SAMState) -> str:
    """Move the weights uphill, by the length RADIUS."""
    state.start = [p.clone() for p in state.model.parameters()]
    gradients = {p: p.grad for p in state.model.parameters() if p.grad is not None}
    scale = RADIUS / get_total_norm(gradients.values())
    for parameter, gradient in gradients.items():
        parameter.add_(scale * gradient)
    return "after_step"


@torch.no_grad()
def return_to_start(trainer: TrainerProtocol, state: SAMState) -> None:
    """Move the weights back; after a batch, if it was cancelled in between."""
    for parameter, weights in zip(state.model.parameters(), state.start, strict=False):
        parameter.copy_(weights)
    state.start = []


def digits() -> tuple[Loader, Loader]:
    """Four fifths of the 1797 images `(64,) float32` with their digits, and the rest."""
    images, targets = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(targets))
    train, valid = random_split(data, [0.8, 0.2])
    return DataLoader(train, 32, shuffle=True), DataLoader(valid, 256)


def network() -> nn.Module:
    """A network of two layers."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def job() -> Job:
    """The network, and the images for training and for validation."""
    torch.manual_seed(0)
    (train, valid), model = digits(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        [Metrics()],
        chart=CHART,
        activities={"climb.step": climb},
        state=SAMState,
    )
    trainer.on("begin_step", inside=OwnName("descend"))(return_to_start)
    trainer.on("after_batch")(return_to_start)
    return Job(trainer, train, valid, epochs=5)


if __name__ == "__main__":
    todo = job()
    state = todo.trainer.fit(todo.train_loader, todo.valid_loader, todo.epochs)
    print(state.metrics)

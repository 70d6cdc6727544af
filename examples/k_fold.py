"""Cross-validate a network on scikit-learn's digits: a fit inside each fold, inside all folds.

    trackside fit examples/k_fold.py:job

Each fold is the fit of a fresh trainer: the same first weights, no momenta, its own shuffling. A
fold has its own cancel, `run.cancel("fold")`: the next one follows.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from trackside import Job, Metrics, Trainer, TrainState
from trackside.engine import SUPERVISED
from trackside.events import OwnName, TrainerProtocol

FOLDS = 5


@dataclass(slots=True, eq=False, repr=False)
class FoldState(TrainState):
    """Also has the index of the fold, from 0, and the losses of those that completed."""

    fold: int = -1
    losses: list[float] = field(default_factory=list)


def next_fold(state: FoldState) -> str:
    """Begin another fold, or end them all."""
    state.fold += 1
    return "begin_fold" if state.fold < FOLDS else "after_folds"


def end_fold(state: FoldState) -> str:
    """Keep the loss of a fold; nan if its fit was cancelled before a validation."""
    state.losses.append(state.metrics.get("valid_loss", float("nan")))
    return "after_fold"


class FoldSampler(Sampler[int]):
    """Yields the examples in the current fold, or shuffled those outside of it."""

    def __init__(self, state: FoldState, count: int, training: bool) -> None:
        self.state, self.count, self.training = state, count, training

    def __iter__(self) -> Iterator[int]:
        if not self.training:
            return iter(range(self.state.fold, self.count, FOLDS))
        shuffled = torch.Generator().manual_seed(self.state.epoch + 1)
        order = torch.randperm(self.count, generator=shuffled).tolist()
        return (index for index in order if index % FOLDS != self.state.fold)


def digits() -> TensorDataset:
    """The 1797 images `(64,) float32`, from 0 to 1, and their digits."""
    images, targets = load_digits(return_X_y=True)
    return TensorDataset(torch.tensor(images / 16).float(), torch.tensor(targets))


def network() -> nn.Module:
    """A network of two layers."""
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def job() -> Job:
    """A trainer of all folds, and its loaders, which depend on the fold."""
    torch.manual_seed(0)
    data, model = digits(), network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    first = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        [Metrics()],
        chart=SUPERVISED.inside("folds.fold"),
        activities={"folds.ready": next_fold, "fold.done": end_fold},
        state=FoldState,
    )

    @trainer.on(OwnName("begin_fold"))
    def start_afresh(trainer: TrainerProtocol, state: FoldState) -> None:
        model.load_state_dict(first[0])
        optimizer.load_state_dict(first[1])

    state: Any = trainer.state
    train, valid = (FoldSampler(state, len(data), training) for training in (True, False))
    return Job(trainer, DataLoader(data, 32, False, train), DataLoader(data, 32, False, valid), 3)


if __name__ == "__main__":
    todo = job()
    state: Any = todo.trainer.fit(todo.train_loader, todo.valid_loader, todo.epochs)
    print(state.losses)

"""Tune the options of a network with Optuna; a handler stops the fits of pruned trials.

    python examples/optuna_search.py

Trials run in threads, each with its own trainer; trainers share no state.
"""

from typing import Any

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics.classification import MulticlassAccuracy

from trackside import CancelFitException, Metrics, Trainer, TrainState

EPOCHS = 8


class Pruning:
    """Reports a metric of each epoch to a trial, and stops the fit when the trial is pruned.

    Signals: after_epoch
    Reads: metrics, epoch, outcome
    Raises: CancelFitException
    """

    def __init__(self, trial: optuna.Trial, metric: str) -> None:
        self.trial = trial
        self.metric = metric
        self.pruned = False

    def after_epoch(self, trainer: Any, state: TrainState) -> None:
        if state.outcome != "completed":
            return
        self.trial.report(state.metrics[self.metric], state.epoch)
        if self.trial.should_prune():
            self.pruned = True
            raise CancelFitException(f"trial {self.trial.number} pruned in epoch {state.epoch}")


def accuracy_of(trial: optuna.Trial) -> float:
    """Train a network with the trial's options; return its accuracy on the validation images."""
    width = trial.suggest_int("width", 8, 64, log=True)
    learning_rate = trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True)
    train, valid = _digits()
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate)
    pruning = Pruning(trial, "valid_accuracy")
    metrics = Metrics(accuracy=MulticlassAccuracy(10, average="micro"))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, [metrics, pruning])
    state = trainer.fit(train, valid, epochs=EPOCHS)
    if pruning.pruned:  # the fit has returned, and all scopes are closed
        raise optuna.TrialPruned(state.cancel.reason if state.cancel else "")
    return float(state.metrics["valid_accuracy"])


def _digits() -> tuple[DataLoader[Any], DataLoader[Any]]:
    images, targets = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(targets))
    split = torch.Generator().manual_seed(0)  # the same images for every trial
    train, valid = random_split(data, [0.8, 0.2], generator=split)
    return DataLoader(train, 64, shuffle=True), DataLoader(valid, 512)


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    study.optimize(accuracy_of, n_trials=16, n_jobs=4)
    pruned = study.get_trials(states=[optuna.trial.TrialState.PRUNED])
    print(f"{study.best_value:.3f} with {study.best_params}; {len(pruned)} trials were pruned")

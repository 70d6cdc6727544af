"""Trainers of two models that are trained by turns, and do not know of each other."""

import math

import torch
from helpers import model
from torch import nn

from trackside import Trainer
from trackside.engine import SUPERVISED, update

CHART = SUPERVISED.replace("train.batch", update("one", of="a"), update("other", of="b"))


def pair(seed=0):
    return {"a": model(seed), "b": model(seed + 1)}


def optimizers_of(models):
    return {
        "a": torch.optim.SGD(models["a"].parameters(), lr=0.1, momentum=0.9, weight_decay=0.1),
        "b": torch.optim.Adam(models["b"].parameters(), lr=0.01, weight_decay=0.1),
    }


def trainer_of_two(*handlers, models=None, chart=CHART, **options):
    models = models or pair()
    optimizers = optimizers_of(models)
    options = {"loss_fn": nn.CrossEntropyLoss(), **options}
    return Trainer(handlers=handlers, models=models, optimizers=optimizers, chart=chart, **options)


def all_weights(trainer):
    return [p.detach().clone() for m in trainer.state.models.values() for p in m.parameters()]


def alone(name, *handlers, **options):
    """A trainer of one of the two, by the supervised chart."""
    models = pair()
    optimizer = optimizers_of(models)[name]
    return Trainer(models[name], nn.CrossEntropyLoss(), optimizer, handlers, **options)


def weights_of(trainer, name):
    return [p.detach().clone() for p in trainer.state.models[name].parameters()]


def poison(trainer, of, *at):
    """Makes the loss of the updates of one name NaN, in the batches `at`."""

    def receiver(trainer, state):
        if state.of == of and state.batch_index in at:
            state.loss = state.loss * math.nan

    trainer.on("after_loss")(receiver)
